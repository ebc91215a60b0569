"""The example notebooks are sound as files; that they run is tested by ``pytest --nbmake examples``."""

import ast
import re
import socket
from pathlib import Path

import pytest

from tests.support.optional import require

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# directories of a machine, as they stand in warnings and error messages; "/shared" and the like are examples
MACHINE = re.compile(r"(?<![\w.])/(tmp|root|home|work|Users|private|var|opt|usr)/|\.pyenv|site-packages|ipykernel_\d")
HOST = socket.gethostname()
TIMING = re.compile(r"(CPU times|Wall time|it/s\b)")


def read(path):
    return require("nbformat").read(path, as_version=4)


def output_texts(notebook):
    """What the outputs say, pictures left out."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield from (str(text) for kind, text in output.get("data", {}).items() if not kind.startswith("image/png"))
            yield output.get("text", "")


def texts(notebook):
    return [*(cell.source for cell in notebook.cells), *output_texts(notebook)]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 11


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_is_valid(self, path):
        notebook = read(path)
        require("nbformat").validate(notebook)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)

    def test_it_begins_with_a_title_and_explains_itself(self, path):
        first, *others = read(path).cells
        assert first.cell_type == "markdown"
        assert re.match(r"# \S", first.source)
        assert sum(cell.cell_type == "markdown" for cell in others) >= 3

    def test_it_names_no_directory_and_no_host_of_a_machine(self, path):
        for text in texts(read(path)):
            assert not MACHINE.search(text), text
            assert HOST not in text.split(), text

    def test_its_outputs_are_of_one_whole_run_without_errors(self, path):
        cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
        run = [cell for cell in cells if "skip-execution" not in cell.metadata.get("tags", [])]
        assert [cell.execution_count for cell in run] == list(range(1, len(run) + 1))
        for cell in cells:
            if cell not in run:
                assert not cell.outputs
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr", output.text
        assert not any(TIMING.search(text) for text in output_texts(read(path)))

    def test_its_python_can_be_parsed(self, path):
        """Also that of cells which no test runs."""
        for cell in read(path).cells:
            if cell.cell_type == "code" and not cell.source.startswith("%%"):
                ast.parse(cell.source)

    def test_the_readme_lists_it(self, path):
        assert f"[{path.name}]({path.name})" in (EXAMPLES / "README.md").read_text()


def test_the_readme_lists_nothing_else():
    linked = re.findall(r"\]\(([\w.]+\.ipynb)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(linked) == [path.name for path in NOTEBOOKS]


def test_together_they_are_small():
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir()) < 2 * 2**20
