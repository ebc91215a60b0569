import inspect
import subprocess
import sys

import numpy as np
import xarray as xr

import msi_lazy as msi
from msi_lazy.tree import edit

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


def test_its_edits_take_what_the_functions_take():
    for name in ("transpose", "reindex_data_arrays", "assign_coords"):
        method, function = (inspect.signature(getattr(owner, name)) for owner in (msi.PyramidAccessor, edit))
        ours, theirs = list(method.parameters.values())[1:], list(function.parameters.values())[1:]
        assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]
