"""Each benchmark runs once, tiny."""

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import build, compare, scale, volume


def test_build_checks_every_sample():
    result = CliRunner().invoke(build.main, ["--gib", "0.01"], catch_exceptions=False)
    assert "every sample of every level equals NumPy's" in result.output


def test_the_volume_is_the_same_in_any_blocks():
    whole = volume.sample_block((3, 5, 7), (20, 30, 40))
    np.testing.assert_array_equal(volume.sample_block((8, 15, 27), (4, 5, 6)), whole[5:9, 10:15, 20:26])
    assert whole.std() > 100


@pytest.mark.parametrize("plane", [[], ["--plane"]])
def test_compare_prints_a_row_for_each_contender(plane):
    arguments = ["--gib", "0.001", "--rounds", "1", "--only", "msi_lazy", *plane]
    result = CliRunner().invoke(compare.main, arguments, catch_exceptions=False)
    rows = [line for line in result.output.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:]] == ["TensorStore, only copying scale 0", "msi_lazy"]


def test_scale_prints_a_row_for_each_size():
    result = CliRunner().invoke(scale.main, ["--upto", "1 GB", "--gib", "0.01"], catch_exceptions=False)
    (row,) = (line for line in result.output.splitlines() if line.startswith("| 1 GB"))
    assert row.split("|")[2].strip() == "27"
    assert "s per GiB" in result.output
