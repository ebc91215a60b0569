"""The command line: its options reach the store, and what is wrong is said in one line."""

import os
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from distributed import LocalCluster
from numcodecs import Zlib
from PIL import Image

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.optional import require, validate_elsewhere
from tests.support.window_oracles import pyramid_oracle

PIXELS = np.random.default_rng(0).integers(0, 60000, (20, 45, 38), dtype="u2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the zarr array ``in.zarr`` in it."""
    zarr.create_array(tmp_path / "in.zarr", data=PIXELS, dimension_names=["z", "y", "x"], chunks=(8, 16, 16))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def convert(folder):
    """Runs ``convert in.zarr out.zarr`` with options, and opens what it wrote."""

    def run(*options):
        result = CliRunner().invoke(main, ["convert", "in.zarr", "out.zarr", *options])
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        assert "wrote out.zarr" in result.stdout
        return zarr.open_group(folder / "out.zarr", mode="r")

    return run


def assert_fails(arguments, message):
    """The command ends with exit code 1 and one line on the error stream, and leaves the directory as it was."""
    before = directory_contents()
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert directory_contents() == before


def directory_contents():
    """Everything below the working directory, files with their bytes."""
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


def read_multiscale(group):
    (multiscale,) = group.attrs.get("ome", group.attrs)["multiscales"]
    return multiscale


def open_levels(group):
    return [group[dataset["path"]] for dataset in read_multiscale(group)["datasets"]]


def assert_levels(group, factors, method="mean", boundary="trim", pixels=PIXELS):
    for level, oracle in zip(open_levels(group), pyramid_oracle(pixels, factors, method, boundary), strict=True):
        np.testing.assert_array_equal(level[:], oracle, strict=True)


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        (["--factors", "2", "2", "4"], [(2, 2, 2), (2, 2, 2), (4, 4, 4)]),
        (["--factors=3"], [(3, 3, 3)]),
        (["--factors", "z=1,y=2,x=2", "z=2,y=2,x=3"], [(1, 2, 2), (2, 2, 3)]),
        (["--factors", "x=5", "2", "--chunks", "16"], [(1, 1, 5), (2, 2, 2)]),
        (["--levels", "2"], [(2, 2, 2), (2, 2, 2)]),
        (["--levels", "0"], []),
        (["--levels", "auto", "--chunks", "16"], [(2, 2, 2), (2, 2, 2)]),
        (["--chunks", "16"], [(2, 2, 2), (2, 2, 2)]),
        ([], []),
    ],
)
def test_factors_and_levels(convert, options, factors):
    assert_levels(convert(*options), factors)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--factors", "2", "2", "in.zarr", "out.zarr"],
        ["in.zarr", "out.zarr", "--factors", "2", "2", "--method", "mean"],
        ["--chunks", "8", "--factors", "z=2,y=2,x=2", "2", "in.zarr", "out.zarr"],
    ],
)
def test_factors_may_stand_anywhere(folder, arguments):
    result = CliRunner().invoke(main, ["convert", *arguments])
    assert result.exit_code == 0, result.output
    assert_levels(zarr.open_group(folder / "out.zarr", mode="r"), [(2, 2, 2), (2, 2, 2)])


@pytest.mark.parametrize(("method", "boundary"), [("max", "trim"), ("min", "pad"), ("mean", "pad")])
def test_method_and_boundary(convert, method, boundary):
    group = convert("--factors", "2", "3", "--method", method, "--boundary", boundary)
    assert_levels(group, [(2, 2, 2), (3, 3, 3)], method, boundary)
    assert read_multiscale(group)["type"] == method


@pytest.mark.parametrize(
    ("chunks", "shapes"),
    [("16", [(16, 16, 16), (10, 16, 16)]), ("y=16,x=32", [(20, 16, 32), (10, 16, 19)])],
)
def test_chunks_are_those_on_disk(convert, chunks, shapes):
    group = convert("--levels", "1", "--chunks", chunks)
    assert [level.chunks for level in open_levels(group)] == shapes


def test_scale_and_units_become_transformations(convert):
    group = convert("--factors", "z=1,y=2,x=2", "--scale", "z=2,y=.5,x=.25", "--units", "micrometer")
    multiscale = read_multiscale(group)
    assert multiscale["axes"] == [{"name": dim, "type": "space", "unit": "micrometer"} for dim in "zyx"]
    transformations = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    assert [scale["scale"] for scale, _ in transformations] == [[2, 0.5, 0.25], [2, 1, 0.5]]
    assert [translation["translation"] for _, translation in transformations] == [[0, 0, 0], [0, 0.25, 0.125]]


@pytest.mark.parametrize("dims", ["cyx", "c,y,x", "c, y, x"])
def test_dims_replace_those_of_the_input(convert, dims):
    group = convert("--levels", "1", "--dims", dims)
    axes = [(axis["name"], axis["type"]) for axis in read_multiscale(group)["axes"]]
    assert axes == [("c", "channel"), ("y", "space"), ("x", "space")]
    assert_levels(group, [(1, 2, 2)])


def test_dims_out_of_order_are_written_in_the_order_of_the_specification(convert):
    group = convert("--levels", "1", "--dims", "xcy")
    assert [axis["name"] for axis in read_multiscale(group)["axes"]] == ["c", "y", "x"]
    assert_levels(group, [(1, 2, 2)], pixels=PIXELS.transpose(1, 2, 0))


def test_version_is_0_5_unless_0_4_is_asked_for(convert, folder):
    assert convert("--levels", "1").metadata.zarr_format == 3
    validate_elsewhere(folder / "out.zarr")
    group = convert("--levels", "1", "--version", "0.4", "--overwrite")
    assert group.metadata.zarr_format == 2
    assert read_multiscale(group)["version"] == "0.4"
    assert_levels(group, [(2, 2, 2)])


def test_existing_target_is_refused_and_replaced_only_on_request(convert):
    convert("--levels", "1")
    arguments = ["convert", "in.zarr", "out.zarr", "--levels", "2"]
    assert_fails(arguments, "out.zarr exists already; give --overwrite to replace it, or another OUTPUT")
    group = convert("--levels", "2", "--overwrite")
    assert_levels(group, [(2, 2, 2), (2, 2, 2)])


def test_overwriting_never_destroys_the_input_or_what_is_no_store(folder):
    assert_fails(["convert", "in.zarr", "in.zarr", "--overwrite"], "overlap")
    tifffile.imwrite("in.zarr/in.tif", PIXELS[0])
    assert_fails(["convert", "in.zarr/in.tif", "in.zarr", "--overwrite"], "in.zarr/in.tif lies inside in.zarr")
    (folder / "results").mkdir()
    (folder / "results" / "notes.txt").touch()
    assert_fails(["convert", "in.zarr", "results", "--overwrite"], "results is not a Zarr hierarchy")


def test_plan_only_prints_the_plan_and_creates_nothing(folder):
    before = directory_contents()
    result = CliRunner().invoke(main, ["convert", "in.zarr", "out.zarr", "--factors", "2", "2", "--plan-only"])
    assert result.exit_code == 0, result.output
    assert "scale2  5 x 11 x 9" in result.output
    assert "wrote" not in result.output
    assert directory_contents() == before


def test_measuring_adds_what_is_projected_and_creates_nothing(folder):
    before = directory_contents()
    arguments = ["convert", "in.zarr", "out.zarr", "--factors", "2", "2", "--plan-only"]
    bare, measured = (CliRunner().invoke(main, [*arguments, *more]) for more in ([], ["--measure"]))
    assert measured.exit_code == 0, measured.output
    added = [line for line in measured.output.splitlines() if line not in bare.output.splitlines()]
    assert [line.split(":")[0] for line in added] == ["projected", "stored"]
    assert directory_contents() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tif", "out.zarr"], "there is no file or directory 'missing.tif'"),
        (["missing*.tif", "out.zarr"], "no file matches"),
        (["in.zarr/c", "out.zarr"], "there is no Zarr array or group at"),
        (["group.zarr", "out.zarr"], "the group holds no OME-Zarr image"),
        (["unknown://in.zarr", "out.zarr"], "'unknown://in.zarr' cannot be opened as Zarr"),
        (["broken.png", "out.zarr"], "broken.png is no picture that imageio reads"),
        (["broken.tif", "out.zarr"], "broken.tif cannot be read as TIFF"),
        (["broken.npy", "out.zarr"], "broken.npy cannot be opened as .npy"),
        (["broken*.tif", "out.zarr"], "broken*.tif' cannot be read"),
        (["in.zarr", "out.zarr", "--method", "average"], "'average'"),
        (["in.zarr", "out.zarr", "--factors", "2.5"], "--factors is written like 2 2 4, or z=1,y=2,x=2"),
        (["in.zarr", "out.zarr", "--factors", "two"], "not 'two'"),
        (["in.zarr", "out.zarr", "--factors", "2", "-1"], "not '2 -1'"),
        (["in.zarr", "out.zarr", "--factors"], "not ''"),
        (["in.zarr", "out.zarr", "--factors", "0"], "must be at least 1, not 0"),
        (["in.zarr", "out.zarr", "--factors", "64"], "larger than the finer level"),
        (["in.zarr", "out.zarr", "--factors", "2", "--levels", "2"], "give --factors or --levels, not both"),
        (["in.zarr", "out.zarr", "--levels", "many"], "--levels is 'auto' or a number of halvings, not 'many'"),
        (["in.zarr", "out.zarr", "--levels", "1", "--boundary", "exact"], "does not divide the 45 samples"),
        (["in.zarr", "out.zarr", "--chunks", "big"], "--chunks is written like"),
        (["in.zarr", "out.zarr", "--chunks", "0"], "must be at least 1"),
        (["in.zarr", "out.zarr", "--scale", "t=2"], "--scale names the dimension 't', but the image has"),
        (["in.zarr", "out.zarr", "--scale", "2"], "--scale is written like z=2,y=1,x=1, not '2'"),
        (["in.zarr", "out.zarr", "--scale", "x=-1"], "--scale must be positive, not -1.0 for 'x'"),
        (["in.zarr", "out.zarr", "--dims", "qrx"], "rename those that are: image.rename"),
        (["in.zarr", "out.zarr", "--dims", "qrs"], "none of the dimensions ('q', 'r', 's') is known to be space"),
        (["in.zarr", "out.zarr", "--units", "y=nm,q="], "--units names the dimension 'q'"),
        (["in.zarr", "out.zarr", "--version", "0.3"], "version must be one of '0.4', '0.5', '0.6', not '0.3'"),
        (["in.zarr", "out.zarr", "--scheduler", "post://office"], "there is no Dask scheduler at 'post://office'"),
    ],
)
def test_faults_are_said_in_one_line_and_create_nothing(folder, monkeypatch, arguments, message):
    monkeypatch.setattr("distributed.Client", None)  # one of a faulty address would hang when the process ends
    zarr.create_group(folder / "group.zarr")
    for name in ("broken.png", "broken.tif", "broken2.tif", "broken.npy"):
        (folder / name).write_bytes(b"neither this nor that")
    assert_fails(["convert", *arguments], message)


@pytest.mark.parametrize(("zarr_format", "compressor"), [(3, None), (2, None), (2, Zlib())])
def test_damaged_chunks_are_said_in_one_line(folder, zarr_format, compressor):
    zarr.create_array("bad.zarr", data=PIXELS, zarr_format=zarr_format, compressors=compressor, chunks=PIXELS.shape)
    (folder / "bad.zarr" / ("c/0/0/0" if zarr_format == 3 else "0.0.0")).write_bytes(b"cut")
    result = CliRunner().invoke(main, ["convert", "bad.zarr", "out.zarr"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.startswith("Error: ")
    assert "ome" not in zarr.open_group(folder / "out.zarr", mode="r").attrs  # never looks complete


def test_info_prints_the_levels(convert):
    convert("--factors", "2", "2", "--scale", "z=2", "--units", "nm")
    result = CliRunner().invoke(main, ["info", "out.zarr"])
    assert result.exit_code == 0, result.output
    for level in ("scale0  20 x 45 x 38", "scale1  10 x 22 x 19", "scale2  5 x 11 x 9", "z 4 nanometer"):
        assert level in result.output


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("in.zarr", "in.zarr"),
        ("missing.zarr", "missing.zarr"),
        ("in.tif", "in.tif"),
        ("group.zarr", "no OME-Zarr image"),
    ],
)
def test_info_on_what_is_no_image_fails_in_one_line(folder, store, message):
    tifffile.imwrite("in.tif", PIXELS[0])
    zarr.create_group("group.zarr")
    assert_fails(["info", store], message)


def test_demo_writes_a_valid_store_and_draws_its_levels(tmp_path, monkeypatch):
    data = require("skimage.data")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert sorted(os.listdir()) == ["demo-levels.png", "demo.ome.zarr"]
    validate_elsewhere("demo.ome.zarr")
    tree = msi.open_multiscale("demo.ome.zarr")
    np.testing.assert_array_equal(tree["scale0"].retina.transpose("y", "x", "c").values, data.retina())
    with Image.open("demo-levels.png") as sheet:
        columns = np.array_split(np.array(sheet), len(tree.children), axis=1)
    for column in columns:  # each level is there, whole above and in part below, beside text in grey
        for half in np.array_split(column, 2):
            assert len(np.unique(half[half[..., 0] != half[..., 2]], axis=0)) > 100


def test_demo_refuses_a_directory_that_is_no_store(folder):
    (folder / "photos").mkdir()
    (folder / "photos" / "holiday.jpg").touch()
    assert_fails(["demo", "--out", "photos"], "photos exists already")


def test_demo_overwrites_its_own_store_and_no_other(folder):
    assert CliRunner().invoke(main, ["convert", "in.zarr", "mine.zarr"]).exit_code == 0
    assert_fails(["demo", "--out", "mine.zarr"], "mine.zarr exists already")
    for _ in range(2):
        assert CliRunner().invoke(main, ["demo"]).exit_code == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler with one worker process, which runs in another directory than the tests."""
    with chdir(tmp_path_factory.mktemp("worker")):
        cluster = LocalCluster(processes=True, n_workers=1, threads_per_worker=1, dashboard_address=":0")
    with cluster:
        yield cluster


@pytest.mark.parametrize("source", ["in.zarr", "in.tif", "in.npy", "plane*.tif"])
def test_worker_processes_write_what_threads_write(folder, cluster, source):  # starts one process: seconds
    tifffile.imwrite("in.tif", PIXELS, metadata={"axes": "ZYX"}, tile=(16, 16))
    np.save("in.npy", PIXELS)
    for number, plane in enumerate(PIXELS):
        tifffile.imwrite(f"plane{number}.tif", plane)
    done, options = cluster.scheduler.transition_counter, ["--levels", "2", "--scheduler", cluster.scheduler_address]
    result = CliRunner().invoke(main, ["convert", source, "out.zarr", *options])
    assert result.exit_code == 0, result.output
    assert cluster.scheduler.transition_counter > done
    assert_levels(zarr.open_group("out.zarr", mode="r"), [(2, 2, 2), (2, 2, 2)])


def test_four_dimensions_are_not_guessed(folder):
    np.save("four.npy", np.zeros((2, 3, 8, 8), "u1"))
    zarr.create_array("four.zarr", data=np.zeros((2, 3, 8, 8), "u1"))
    for source in ("four.npy", "four.zarr"):
        assert_fails(["convert", source, "o.zarr"], "--dims czyx")
        result = CliRunner().invoke(main, ["convert", source, "o.zarr", "--dims", "tcyx", "--plan-only"])
        assert "(t, c, y, x)" in result.output


def test_a_glob_without_quotes_gets_a_hint(folder):
    result = CliRunner().invoke(main, ["convert", "a.png", "b.png", "c.png", "o.zarr"])
    assert "in quotes" in result.output


def test_a_directory_of_planes_gets_a_hint(folder):
    (folder / "planes").mkdir()
    (folder / "planes" / "1.png").touch()
    assert_fails(["convert", "planes", "o.zarr"], "quoted glob")


def test_a_memory_limit_is_checked_before_anything_is_created(folder):
    result = CliRunner().invoke(main, ["convert", "in.zarr", "out.zarr", "--factors", "2", "--memory-limit", "1MiB"])
    assert result.exit_code == 1
    assert "--memory-limit is 1.00 MiB" in result.stderr
    assert not Path("out.zarr").exists()


def test_shards_on_the_command_line(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((64, 64), "u1"))
    for words, shards in ((["--shards", "auto"], (64, 64)), (["--shards", "y=32,x=16"], (32, 16)), ([], None)):
        out = tmp_path / f"{len(words)}{shards}.zarr"
        result = CliRunner().invoke(main, ["convert", str(tmp_path / "in.npy"), str(out), "--chunks", "16", *words])
        assert result.exit_code == 0, result.output
        assert zarr.open_array(out / "scale0/image").shards == shards
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "in.npy"), str(tmp_path / "x"), "--shards", "big"])
    assert "--shards is written like" in result.output


@pytest.mark.parametrize(("name", "expected"), [("auto", "zstd"), ("fast", "lz4"), ("none", "")])
def test_codecs_on_the_command_line(convert, name, expected):
    for level in open_levels(convert("--compressor", name)):
        assert expected in str(level.compressors)
        assert bool(level.compressors) is bool(expected)


def test_validate_on_the_command_line(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((64, 64), "u1"))
    CliRunner().invoke(main, ["convert", str(tmp_path / "in.npy"), str(tmp_path / "a.zarr")])
    assert CliRunner().invoke(main, ["validate", str(tmp_path / "a.zarr")]).exit_code == 0
    group = zarr.open_group(tmp_path / "a.zarr")
    group.attrs["ome"] = {**group.attrs["ome"], "multiscales": [{}]}
    assert CliRunner().invoke(main, ["validate", str(tmp_path / "a.zarr")]).exit_code == 1


def test_a_collection_is_told_with_the_option_that_opens_one(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((20, 30), "u1"), dims="yx"), [2])
    for name in ("first", "second"):
        tree.pyramid.to_zarr(tmp_path / "many.zarr", group=name)
    for command in ("info", "verify"):
        result = CliRunner().invoke(main, [command, str(tmp_path / "many.zarr")])
        assert result.exit_code == 1
        assert "it is a collection of 2 images: give an image, --group first, --group second" in result.output
        result = CliRunner().invoke(main, [command, str(tmp_path / "many.zarr"), "--group", "second"])
        assert result.exit_code == 0
