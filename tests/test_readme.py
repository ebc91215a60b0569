"""The README's code runs, and says what the program says."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_code_runs_and_prints_what_the_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(compile(block, str(README), "exec"), names)
    assert printed.getvalue().strip() == blocks("text")[0].strip()
    assert (tmp_path / "brighter.ome.zarr/.zattrs").exists()


def test_the_set_up_is_two_commands_of_one_line():
    commands = [block for block in blocks("sh") if "venv" in block]
    assert len(commands) == 2
    assert all(block.count("\n") == 1 for block in commands)
