"""The README's code runs, and says what the program says."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from tests.support.optional import require

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_code_runs_and_prints_what_the_readme_shows(tmp_path, monkeypatch):
    plt = require("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    plt.switch_backend("agg")
    names = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(compile(block, str(README), "exec"), names)
    plt.close("all")
    plan, seen, _diagram = blocks("text")
    assert printed.getvalue().strip() == f"{plan.strip()}\n{seen.strip()}"
    assert names["stained"].pyramid.level_for(2) == "scale1"
    assert names["picture"].shape == (128, 128, 3)
    assert names["viewer"].store_url
    assert (tmp_path / "brighter.ome.zarr/.zattrs").exists()


def test_the_set_up_is_two_commands_of_one_line():
    commands = [block for block in blocks("sh") if "venv" in block]
    assert len(commands) == 2
    assert all(block.count("\n") == 1 for block in commands)


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", README.read_text())
    assert len(links) > 20
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_the_pictures_of_the_methods_are_what_the_methods_give():
    script = runpy.run_path(README.parent / "examples" / "method_pictures.py")
    drawn = script["draw_pictures"]()
    stored = {path.stem: iio.imread(path) for path in script["FOLDER"].glob("*.png")}
    assert drawn.keys() == stored.keys()
    for name, picture in drawn.items():
        np.testing.assert_array_equal(picture, stored[name], err_msg=name)
        assert f"examples/methods/{name}.png" in README.read_text()
