"""Imports go down only; files stay small."""

import ast
from pathlib import Path

import pytest

import msi_lazy

PACKAGE = Path(msi_lazy.__file__).parent
ROOMS = [
    {"cli"},
    {"accessor"},
    {"interop"},
    {"pictures"},
    {"api", "extend", "output", "upkeep", "viewer"},
    {"validation"},
    {"edit", "scales"},
    {"tree"},
    {"attributes"},
    {"store"},
    {"ngff"},
    {"graph"},
    {"plan"},
    {"methods"},
    {"image"},
    {"axes"},
    {"errors"},
]
HEIGHT = {room: height for height, rooms in enumerate(reversed(ROOMS)) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    tree = ast.parse(path.read_text())
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typing_only and (node.module or "").startswith("msi_lazy."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    above = [room for room in imported_rooms(path) if HEIGHT[room] > HEIGHT[room_of(path)]]
    assert not above


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 310


def importers(module):
    return {room_of(path) for path in FILES if any(_imports(path, module))}


def _imports(path, module):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.startswith(module) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").startswith(module)


def test_each_room_keeps_to_its_business():
    assert importers("dask.highlevelgraph") <= {"graph", "store"}
    assert importers("numba") == {"methods"}
    assert importers("ome_zarr_models") == {"ngff"}
    assert not importers("dask") & {"methods"}
