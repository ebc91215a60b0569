"""Wrong arguments: an error of ours that says so, before anything is created."""

import re
from inspect import Parameter, isclass, signature
from pathlib import Path

import numpy as np
import pytest
import zarr

import msi_lazy as msi
from msi_lazy.methods import table
from tests.support import bad_arguments, bad_methods
from tests.support.bad_arguments import LABELS, TREE, is_ours
from tests.support.bad_methods import PYRAMID
from tests.support.optional import require

TABLE = {**bad_arguments.TABLE, **bad_methods.TABLE}
RESULTS = {"PyramidPlan", "ValidationReport", "VerifyReport", "Viewer", "PyramidAccessor", "Methods", "__version__"}
RESULTS |= {"Plate", "Well", "UpgradeReport"}
"""What users are given, and do not call."""
FUNCTIONS = {name: getattr(msi, name) for name in msi.__all__ if name not in RESULTS}
FUNCTIONS = {name: f for name, f in FUNCTIONS.items() if not (isclass(f) and issubclass(f, Exception))}
FUNCTIONS["Method.from_function"] = msi.Method.from_function
FUNCTIONS |= {
    f"pyramid.{name}": getattr(PYRAMID, name) for name in dir(msi.PyramidAccessor) if not name.startswith("_")
}
ITK = ("image", "scale_factors", "axis_names", "axis_units", "name", "method", "chunks", "options")
ELSEWHERE = {("itk_image_to_multiscale", name): "of ITK, or handed on: test_interop, which loads ITK" for name in ITK}
"""Arguments that are not in the table, and why."""


def sound_arguments(name, directory):
    """Arguments that are right, but that there is no such thing yet at ``store``."""
    stored = {"store": directory / "image.zarr"}
    labels = {**stored, "name": "cells", "labels": LABELS}
    return {
        "to_spatial_image": {"array": np.zeros((2, 2, 4, 4)), "dims": "tcyx"},
        "to_multiscale": {"image": bad_arguments.IMAGE, "scale_factors": [2]},
        "to_zarr": {"tree": TREE, "store": directory / "out.zarr"},
        "pyramid.to_zarr": {"store": directory / "out.zarr"},
        "write_plate": {"store": directory / "out.zarr", "fields": {("A", 1, 0): TREE}},
        "explain": {"tree": TREE},
        "write_labels": labels,
        "pyramid.write_labels": labels,
        "add_levels": {**stored, "scale_factors": [2]},
        "open_multiscale": stored,
        "open_plate": {"store": directory / "plate.zarr"},
        "pack": {**stored, "archive": directory / "out.zip"},
        "validate": stored,
        "verify": stored,
        "upgrade": {**stored, "target": directory / "upgraded.zarr", "to": "0.6"},
        "view": {**stored, "open_browser": False},
        "pyramid.view": {"open_browser": False},
        "update": {**stored, "region": {"x": 0}},
        "itk_image_to_multiscale": {"image": None, "scale_factors": [2]},
        **bad_methods.SOUND,
    }.get(name, {})


def call(function, arguments):
    """Call ``function``, with what its ``*`` and ``**`` parameters take under their names."""
    parameters = signature(function).parameters.values()
    positional = [
        value for p in parameters if p.kind is Parameter.VAR_POSITIONAL for value in arguments.pop(p.name, ())
    ]
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return function(*positional, **arguments)


def contents(directory):
    return {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bad")
    TREE.pyramid.to_zarr(directory / "image.zarr")
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    plate = {"rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": wells}
    root = zarr.create_group(directory / "plate.zarr", attributes={"ome": {"version": "0.5", "plate": plate}})
    root.create_group("A/1").attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
    return directory


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, parameter) for name, rows in TABLE.items() for parameter in rows]
)
def test_a_wrong_argument_is_refused_and_nothing_created(name, parameter, directory):
    if name == "pyramid.plot":
        require("matplotlib")
    before = contents(directory)
    for value, expected, words in TABLE[name][parameter]:
        with pytest.raises(expected) as caught:
            call(FUNCTIONS[name], {**sound_arguments(name, directory), parameter: value})
        assert re.search(words, str(caught.value)), (value, str(caught.value))
        assert is_ours(caught.value), (value, caught.value)
        assert isinstance(caught.value, (TypeError, ValueError, LookupError, FileNotFoundError))
    assert contents(directory) == before


def test_the_table_has_every_argument_of_every_function():
    wanted = {(name, parameter) for name, function in FUNCTIONS.items() for parameter in signature(function).parameters}
    found = {(name, parameter) for name, rows in TABLE.items() for parameter in rows}
    assert found | set(ELSEWHERE) == wanted
    assert not found & set(ELSEWHERE)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in TABLE])
def test_what_the_table_takes_as_right_is_right(name, directory, tmp_path, monkeypatch):
    """Else another argument would be refused than the one that is meant."""
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))  # what is registered here is gone afterwards
    arguments = sound_arguments(name, directory)
    if name in ("to_zarr", "pyramid.to_zarr", "write_plate"):
        arguments["store"] = tmp_path / "out.zarr"
    if name == "pack":
        arguments["archive"] = tmp_path / "out.zip"
    if name in ("write_labels", "pyramid.write_labels", "add_levels", "update"):
        TREE.pyramid.to_zarr(tmp_path / "image.zarr")
        arguments["store"] = tmp_path / "image.zarr"
    if name == "upgrade":
        arguments["target"] = tmp_path / "upgraded.zarr"
    if arguments and name != "itk_image_to_multiscale":
        call(FUNCTIONS[name], arguments)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_target_that_cannot_be_created_is_named(version, tmp_path):
    (tmp_path / "file.txt").write_text("x")
    for target in (
        tmp_path / "file.txt/out.zarr",
        str(tmp_path / "file.txt/a/out.zarr"),
        Path("/proc/nowhere/out.zarr"),
    ):
        with pytest.raises(OSError, match=re.escape(str(Path(target).parent))):
            TREE.pyramid.to_zarr(target, version=version)
    assert [path.name for path in tmp_path.rglob("*")] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "x"


def test_two_dimensions_of_one_name_are_refused():
    image = bad_arguments.with_coordinate([0, 1, 2, 3])
    with pytest.warns(UserWarning, match="Duplicate dimension"):
        twice = image.variable._replace(dims=("x", "x"))
    with pytest.warns(UserWarning, match="Duplicate dimension"), pytest.raises(ValueError, match="of one name"):
        msi.to_multiscale(type(image)(twice), [2])


def test_an_array_is_no_image_to_open():
    array = zarr.create_array({}, shape=(2,), dtype="u1")
    with pytest.raises(TypeError, match="store must be a path, a URL or a zarr store"):
        msi.open_multiscale(array)
