import inspect
import pickle
import pydoc
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import msi_lazy as msi
from msi_lazy.show.pictures import make_thumbnail, plot_levels
from msi_lazy.show.viewer import view_tree
from msi_lazy.tree import edit, select
from msi_lazy.tree.build_tree import refresh
from msi_lazy.tree.reindex import reindex_data_arrays

OTHER = """
import xarray as xr, warnings
warnings.simplefilter("ignore")

@xr.register_datatree_accessor("msi")
class Other:
    def __init__(self, tree): pass
"""
OURS = "import msi_lazy, xarray as xr"
SHOW = "print(xr.DataTree().msi.__class__.__name__, xr.DataTree().pyramid.__class__.__name__)"


def run(*lines):
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.split(), done.stderr


def test_accessor_has_both_names_where_the_other_is_free():
    assert run(OURS, SHOW)[0] == ["PyramidAccessor", "PyramidAccessor"]


def test_another_librarys_accessor_is_left_alone_in_either_order():
    for lines in ((OTHER, OURS), (OURS, OTHER)):
        assert run(*lines, SHOW) == (["Other", "PyramidAccessor"], "")


def test_the_accessor_does_what_the_functions_do(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(np.arange(64.0).reshape(8, 8)), [2])
    assert repr(tree.pyramid) == str(tree.pyramid.explain()) == str(msi.explain(tree))
    assert "<table>" in tree.pyramid._repr_html_()
    ours, function = (list(inspect.signature(f).parameters) for f in (tree.pyramid.to_zarr, msi.to_zarr))
    assert ours == function[1:]
    tree.msi.to_zarr(tmp_path / "a.zarr")
    msi.to_zarr(tree, tmp_path / "b.zarr")
    one, other = (msi.open_multiscale(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    xr.testing.assert_identical(one.load(), other.load())
    assert one.attrs == other.attrs


def test_it_edits_as_multiscale_spatial_image_does():
    """Every scale alike, under that library's name and with its arguments, positional ones too."""
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((3, 20, 20)), dims="cyx"), [2, 2])
    edits = {
        "transpose": tree.msi.transpose("y", "x", "c"),
        "reindex": tree.msi.reindex_data_arrays({"c": ["r", "g", "b"]}, None, None, False, 0.0),
        "assign": tree.msi.assign_coords({"c": ["r", "g", "b"]}),
    }
    for node in edits.pop("transpose").children.values():
        assert node["image"].dims == ("y", "x", "c")
    for edited in edits.values():
        assert edited.name == tree.name
        for name, node in edited.children.items():
            assert node.c.data.tolist() == ["r", "g", "b"]
            assert node["image"].dtype == tree[name]["image"].dtype


METHODS = {
    "assign_coords": edit.assign_coords,
    "explain": msi.explain,
    "level_for": select.level_for,
    "plot": plot_levels,
    "refresh": refresh,
    "reindex_data_arrays": reindex_data_arrays,
    "sel": select.select_window,
    "thumbnail": make_thumbnail,
    "to_zarr": msi.to_zarr,
    "transpose": edit.transpose,
    "view": view_tree,
}
"""The function behind each method that is given the tree."""


@pytest.mark.parametrize("name", METHODS)
def test_its_methods_take_what_the_functions_take(name):
    method, function = inspect.signature(getattr(msi.PyramidAccessor, name)), inspect.signature(METHODS[name])
    ours, theirs = list(method.parameters.values())[1:], list(function.parameters.values())[1:]
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]
    assert method.return_annotation == function.return_annotation


def test_labels_are_written_as_by_the_function():
    assert inspect.signature(msi.PyramidAccessor.write_labels) == inspect.signature(msi.write_labels)
    assert msi.PyramidAccessor.write_labels.__doc__ == msi.write_labels.__doc__


def test_every_public_method_is_one_of_these():
    public = {name for name in dir(msi.PyramidAccessor) if not name.startswith("_")}
    assert public == {*METHODS, "write_labels"}


@pytest.mark.parametrize("name", METHODS)
def test_help_and_completion_find_each_method_documented_without_its_tree(name):
    method = getattr(xr.DataTree().pyramid, name)
    assert method.__name__ == name
    assert name in pydoc.render_doc(method)
    lines = inspect.getdoc(method).splitlines()
    assert lines[0] == inspect.getdoc(METHODS[name]).splitlines()[0]
    assert "tree" not in lines
    for parameter in inspect.signature(method).parameters.values():
        assert any(re.match(rf"(.*, )?\**{parameter.name}(, .*)?$", line) for line in lines), parameter


def test_a_bound_method_pickles():
    tree = msi.to_multiscale(msi.to_spatial_image(np.arange(64.0).reshape(8, 8)), [2])
    assert pickle.loads(pickle.dumps(tree.pyramid.level_for))(2) == "scale1"
