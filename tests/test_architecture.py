"""Imports go down only; files stay small."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import msi_lazy

PACKAGE = Path(msi_lazy.__file__).parent
FLOORS = [  # from the roof down: a room imports from the rooms below it, and from no other
    "__main__",
    "cli",
    "accessor",
    "inputs",
    "show",
    "api",
    "maintain",
    "write",
    "tree",
    "run",
    "graph",
    "source",
    "validation",
    "storage",
    "ngff",
    "arguments",
    "plan",
    "methods",
    "axes",
    "units",
    "compat",
    "errors",
]
HEIGHT = {room: height for height, room in enumerate(reversed(FLOORS))}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms that a file imports from, for its annotations too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("msi_lazy."):
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
    assert importers("dask.highlevelgraph") <= {"graph", "compat"}
    assert importers("dask.task_spec") <= {"graph", "compat"}
    assert importers("numba") == {"methods"}
    assert importers("ome_zarr_models") == {"ngff"}
    assert not importers("dask") & {"methods"}


INSIDE_DASK = ("dask._", "dask.blockwise", "dask.layers", "dask.array._", "dask.array.chunk", "dask.array.core.getter")
"""Modules, and names in them, that Dask does not document."""
ATTRIBUTES_INSIDE_DASK = {"io_deps", "output_indices", "output_blocks", "layers"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_room_reaches_inside_dask(path):
    if room_of(path) == "compat":
        return
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in imports for alias in node.names]
    assert not [name for name in names if name.startswith(INSIDE_DASK)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert attributes & ATTRIBUTES_INSIDE_DASK <= ({"layers"} if room_of(path) == "graph" else set())


def test_only_one_room_reaches_inside_zarr_and_xarray():
    assert importers("zarr.core") == {"compat"}
    inside = {"_data", "_in_memory", "_store", "_array"}
    for path in FILES:
        others = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        used = {node.attr for node in others if not (isinstance(node.value, ast.Name) and node.value.id == "self")}
        assert room_of(path) == "compat" or not used & inside, path


def test_one_room_opens_and_creates_zarr_nodes():
    for path in FILES:
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        named = {ast.unparse(call) for call in calls if isinstance(call, ast.Attribute)}
        opening = {name for name in named if name.startswith(("zarr.open", "zarr.create", "zarr.group"))}
        assert room_of(path) == "storage" or not opening, path


def test_a_file_name_stands_for_one_thing():
    """Files are named alike only where they are: a command of ``cli`` is the function it runs."""
    names = [path.name for path in FILES if path.name != "__init__.py" and room_of(path) != "cli"]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice


def test_contributors_are_told_the_rooms_in_their_order():
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", text, flags=re.MULTILINE)
    assert [room for row in rows for room in re.findall(r"`(\w+)`", row)] == FLOORS


TESTS = Path(__file__).parent
OPTIONAL = [
    *(
        "boto3",
        "h5netcdf",
        "h5py",
        "icechunk",
        "itk",
        "jsonschema",
        "matplotlib",
        "moto",
        "napari",
        "nbformat",
        "neuroglancer",
        "ngff_zarr",
        "obstore",
    ),
    *("ome_zarr", "s3fs", "selenium", "skimage", "tensorstore", "xarray_multiscale", "yaozarrs"),
]
"""Modules that users may lack: those of the extras, and of other tools that results are compared with."""
SUPPORT = sorted((TESTS / "support").glob("*.py"))


@cache
def imported_modules(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_module_is_imported(path):
    assert not [name for name in imported_modules(path) if name.rpartition(".")[2].startswith("test_")]


@pytest.mark.parametrize("path", SUPPORT, ids=lambda path: path.name)
def test_the_support_of_tests_holds_no_tests_and_is_used(path):
    assert not [
        node.name for node in ast.walk(ast.parse(path.read_text())) if getattr(node, "name", "").startswith("test_")
    ]
    users = {user for user in TESTS.rglob("*.py") if f"tests.support.{path.stem}" in imported_modules(user)}
    assert users - {path} or path.stem == "__init__"


def test_what_two_test_modules_need_is_written_once():
    """No function or class of one test module stands in another word for word."""
    written = {}
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                written.setdefault(ast.dump(node), []).append(f"{path.name}:{node.name}")
    assert not [places for places in written.values() if len(places) > 1]


def needed_modules():
    """Modules that are there wherever the tests run: Python's, the project's own, and those of its dependencies."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    needed = {Requirement(line).name for line in project["dependencies"]} | {"pytest", "hypothesis"}
    needed |= {"cloudpickle", "packaging", "pandas", "pillow"}  # of dask, pytest, xarray and imageio
    by_module = packages_distributions()
    modules = {module for module, names in by_module.items() if needed & set(map(canonicalize_name, names))}
    return modules | sys.stdlib_module_names | {"msi_lazy", "tests", "benchmarks"}


def test_a_missing_optional_package_stops_no_file_from_being_collected():
    needed = needed_modules()
    found = {}
    for path in [*TESTS.rglob("*.py"), *(TESTS.parent / "benchmarks").rglob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            found[path.name] = found.get(path.name, set()) | {name.partition(".")[0] for name in names} - needed
    assert not {name: modules for name, modules in found.items() if modules}


def test_without_any_optional_package_every_file_is_collected():
    script = """if True:
        import importlib.abc, sys, pytest
        blocked, *arguments = sys.argv[1:]
        class Blocker(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in blocked.split():
                    raise ModuleNotFoundError(f"{name} is blocked", name=name)
        sys.meta_path.insert(0, Blocker())
        sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:nbmake", *arguments]))
    """
    command = [sys.executable, "-c", script, " ".join(OPTIONAL), str(TESTS)]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    result = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert not re.search(r"\d errors?", result.stdout)
