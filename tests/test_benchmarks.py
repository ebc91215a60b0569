"""Each benchmark runs once, tiny."""

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import bare_copy, build, codecs, compare, floor, imports, kernels, memory, planes, plates, scale, volume


def test_build_checks_every_sample():
    result = CliRunner().invoke(build.main, ["--gib", "0.01"], catch_exceptions=False)
    assert "every sample of every level equals NumPy's" in result.output


def test_the_volume_is_the_same_in_any_blocks():
    whole = volume.sample_block((3, 5, 7), (20, 30, 40))
    np.testing.assert_array_equal(volume.sample_block((8, 15, 27), (4, 5, 6)), whole[5:9, 10:15, 20:26])
    assert whole.std() > 100


FLOOR, HALOED = compare.FLOORS


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], [FLOOR, "msi_lazy"]),
        (["--method", "gaussian", "--codec", "none"], [FLOOR, HALOED, "msi_lazy"]),
        (["--work", "plane", "--method", "gaussian", "--codec", "lz4"], [FLOOR, HALOED, "msi_lazy"]),
        (["--work", "labels", "--method", "mode"], [FLOOR, "msi_lazy"]),
    ],
)
def test_compare_prints_a_row_for_each_contender(options, names):
    arguments = ["--gib", "0.001", "--rounds", "1", "--only", "msi_lazy", *options]
    result = CliRunner().invoke(compare.main, arguments, catch_exceptions=False)
    rows = [line.split("|")[1:-1] for line in result.output.splitlines() if line.startswith("| ")]
    assert [row[0].strip() for row in rows[1:]] == names
    assert int(rows[-1][4]) > 1
    assert int(rows[-1][5]) > 5
    assert len(rows[-1]) == 6 + len(names) - 1


def test_bare_copy_prints_a_row_for_each_case_and_allocator():
    arguments = ["--gib", "0.001", "--rounds", "1", "--case", "mean 3D", "--allocator", "nanny"]
    result = CliRunner().invoke(bare_copy.main, arguments, catch_exceptions=False)
    row = [cell.strip() for cell in result.output.splitlines()[-1].split("|")[1:-1]]
    assert row[:2] == ["mean 3D", "nanny"]
    assert all(float(cell) > 0 for cell in row[2:])


def test_labels_are_blocks_of_one_value():
    labels = volume.label_block((0, 0, 0), (64, 64, 64))
    same = np.mean(labels[:, :, 1:] == labels[:, :, :-1])
    assert 0.9 < same < 1
    assert len(np.unique(labels)) > 10


def test_memory_prints_a_row_for_each_work(monkeypatch):
    monkeypatch.setattr(memory, "METHODS", {"mean": "mean"})
    # as tests/test_memory.py has the real widths, each in a process of its own
    narrow = {work: (dims, 512, chunk, source_chunk) for work, (dims, _, chunk, source_chunk) in memory.WORK.items()}
    monkeypatch.setattr(memory, "WORK", narrow)
    monkeypatch.setattr(memory, "measure_apart", memory.measure)
    result = CliRunner().invoke(memory.main, ["--small", "0.01", "--large", "0.02"], catch_exceptions=False)
    rows = [line.split("|") for line in result.output.splitlines() if line.startswith(("| volume", "| plane"))]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        ("volume", "mean"),
        ("plane", "mean"),
    ]


def test_scale_prints_a_row_for_each_size():
    result = CliRunner().invoke(scale.main, ["--upto", "1 GB", "--gib", "0.01"], catch_exceptions=False)
    (row,) = (line for line in result.output.splitlines() if line.startswith("| 1 GB"))
    assert row.split("|")[2].strip() == "27"
    assert "s per GiB" in result.output


def test_kernels_prints_a_row_for_each_case_with_its_peers():
    options = ["--edge", "12", "--calls", "1", "--method", "mode", "--method", "median", "--no-first-calls"]
    result = CliRunner().invoke(kernels.main, options, catch_exceptions=False)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.output.splitlines() if "|" in line][2:]
    assert [row[0] for row in rows] == ["median"] * 6 + ["mode"] * 5
    assert all(float(row[4].replace(",", "")) > 0 for row in rows)
    assert {row[5] == "" for row in rows if row[0] == "mode"} == {False}
    timed = CliRunner().invoke(kernels.main, ["--child", "nearest", "u2"], catch_exceptions=False)
    assert int(timed.output) >= 0


def test_imports_prints_what_is_waited_for():
    result = CliRunner().invoke(imports.main, ["--rounds", "1"], catch_exceptions=False)
    anyway, ours, first = (float(line.partition(": ")[2].split()[0]) for line in result.output.splitlines())
    assert min(anyway, ours, first) > 0


def test_codecs_prints_a_row_for_each_codec():
    result = CliRunner().invoke(codecs.main, ["--rounds", "1", "--image", "retina, uint8"], catch_exceptions=False)
    rows = [line.split("|")[1:-1] for line in result.output.splitlines()][2:]
    assert [row[1].strip() for row in rows] == list(codecs.CODECS)
    assert all(float(row[4]) > 1 for row in rows)


def test_floor_prints_the_share_of_each():
    result = CliRunner().invoke(floor.main, ["--gib", "0.001", "--rounds", "1"], catch_exceptions=False)
    rows = [line.split("|")[1:-1] for line in result.output.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == [floor.FLOOR, floor.OURS, floor.SHARDED, floor.COPY]
    assert float(rows[0][3]) == 1
    assert all(float(row[3]) > 0 for row in rows[1:])


def test_planes_prints_a_row_for_each_kind_of_chunks(monkeypatch):
    def measure_here(deep, wide, kind, threads, *_settings):
        return planes.measure((deep, wide, wide), kind, threads, method="mean")

    monkeypatch.setattr(planes, "measure_apart", measure_here)
    arguments = ["--planes", "8", "--edge", "64", "--methods", "mean"]
    result = CliRunner().invoke(planes.main, arguments, catch_exceptions=False)
    rows = [line.split("|") for line in result.output.splitlines() if line.startswith("| mean")]
    assert [row[2].strip() for row in rows] == ["planes", "bricks"]
    assert float(rows[0][4]) > 0


def test_plates_prints_how_a_plate_compares_with_an_image():
    arguments = ["--wells", "2", "--fields", "2", "--edge", "96", "--repeats", "1"]
    result = CliRunner().invoke(plates.main, arguments, catch_exceptions=False)
    rows = {line[:28].strip(): line[28:].split() for line in result.output.splitlines()[2:]}
    assert list(rows) == [
        *("build the trees of the plate", "one image", "plate", "plate / one image"),
        *("open_plate", "open_plate, list all fields"),
    ]
    assert all(float(wall) > 0 for _, wall in (rows["plate"], rows["one image"]))
