"""The stress command: a short run of it, and what it says of a fault."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from tests import stress
from tests.support import oracles
from tests.support.strategies import FLOATS, INTEGERS
from tests.support.stress_cases import draw_case
from tests.support.window_oracles import ORACLES, pyramid_oracle

SEED = 7


def run(*options):
    return CliRunner().invoke(stress.main, ["--seed", str(SEED), *map(str, options)])


def test_a_short_run_finds_no_fault():
    result = run("--pyramids", 40)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"seed {SEED}\n")
    assert re.search(rf"seed {SEED}: 40 pyramids, \d+ levels, [\d,]+ samples, 0 faults, \d+ s\n$", result.output)


def test_a_run_ends_when_its_time_is_over():
    result = run("--seconds", 0)
    assert "0 pyramids" in result.output
    assert result.exit_code == 0


def test_a_fault_is_shown_in_full_and_can_be_tried_alone(monkeypatch):
    def differ(*arguments):
        levels = oracles.make_levels(*arguments)
        if levels[-1].dtype.kind in "iu":
            levels[-1].flat[-1] ^= 1
        return levels

    monkeypatch.setattr(stress, "make_levels", differ)
    result = run("--pyramids", 20, "--most-faults", 1)
    assert result.exit_code == 1
    assert " 1 faults" in result.output
    number = int(re.search(rf"FAULT in case (\d+) of seed {SEED}\n", result.output)[1])
    case = draw_case(SEED, number)
    shown = result.output.split("\n\n")[1]
    assert repr(case) in shown
    assert re.search(
        rf"  level {len(case.factors)}: 1 of \d+ samples differ, the first at \(.*: .*\d.*, not .*\d", shown
    )
    assert f"again: python -m tests.stress --seed {SEED} --only {number}" in shown
    again = run("--only", number)
    assert again.exit_code == 1
    assert shown in again.output
    assert " 1 pyramids" in again.output
    monkeypatch.undo()
    assert run("--only", number).exit_code == 0


def test_a_run_begins_where_it_is_told(monkeypatch):
    tried = []
    monkeypatch.setattr(stress, "try_case", lambda case: tried.append(case.number) or [])
    assert run("--pyramids", 2, "--first", 5).exit_code == 0
    assert tried == [5, 6]


def test_what_the_library_raises_is_a_fault(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("disk on fire")

    monkeypatch.setattr(stress.msi, "to_zarr", refuse)
    result = run("--pyramids", 100, "--most-faults", 2)
    assert result.exit_code == 1
    assert result.output.count("OSError: disk on fire") == 2
    assert "2 pyramids" in result.output


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (np.array([[1, 2], [3, 5]], "u2"), r"level 3: 1 of 4 samples differ, the first at \(1, 1\): .*5.*, not .*4"),
        (np.array([[1, 2]], "u2"), r"level 3 is uint16 of shape \(1, 2\), not uint16 of \(2, 2\)"),
        (np.array([[1, 2], [3, 4]], "i2"), "level 3 is int16 of shape .* not uint16"),
        (np.array([[1, 2], [3, 4]], ">u2"), "level 3 is >u2 of shape .* not uint16"),
    ],
)
def test_a_level_that_differs(found, words):
    with pytest.raises(stress.Fault, match=words):
        stress.compare("level 3", found, np.array([[1, 2], [3, 4]], "u2"))


def test_floats_are_compared_with_the_signs_of_zeros_and_any_nan():
    samples = np.array([np.nan, -0.0, np.inf, 1])
    stress.compare("level 1", -samples * -1.0, samples)
    for place, value in enumerate((1, 0.0, -np.inf, np.nan)):
        other = samples.copy()
        other[place] = value
        with pytest.raises(stress.Fault, match=rf"1 of 4 samples differ, the first at \({place},\)"):
            stress.compare("level 1", other, samples)


def test_a_case_depends_on_seed_and_number_alone():
    cases = [draw_case(SEED, number) for number in (4, 3, 3)]
    assert repr(cases[1]) == repr(cases[2]) != repr(cases[0])
    assert cases[1].array.tobytes() == cases[2].array.tobytes()
    assert repr(draw_case(SEED + 1, 3)) != repr(cases[1])


def test_cases_cover_what_there_is():
    cases = [draw_case(SEED, number) for number in range(400)]
    assert {case.method for case in cases} == set(oracles.ORACLES)
    assert {case.dtype[1:] for case in cases} == {"b1", *INTEGERS, *FLOATS}
    for field in ("boundary", "source", "version", "scheduler", "on_disk", "forced", "values"):
        assert len({getattr(case, field) for case in cases}) > 1
    assert {len(case.shape) for case in cases} == {2, 3, 4, 5}
    assert {type(case.shards) for case in cases} == {type(None), str, int, dict}
    assert any(not np.dtype(case.dtype).isnative for case in cases)
    assert any(case.nodata is not None for case in cases)
    assert any(max(step) > 1 == min(step) for case in cases for step in case.steps)


@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize("dtype", ["u1", "i8", "f4"])
@pytest.mark.parametrize("method", ORACLES)
def test_oracles_of_box_methods_are_those_of_plain_python(method, dtype, boundary):
    rng = np.random.default_rng(0)
    array = (rng.integers(-3, 4, (7, 10)) if dtype != "u1" else rng.integers(0, 4, (7, 10))).astype(dtype)
    if dtype == "f4":
        array[rng.random(array.shape) < 0.3] = np.nan
    steps = [(2, 3), (1, 2)]
    expected = pyramid_oracle(array, steps, method, boundary)
    for level, found in zip(expected, oracles.make_levels(array, steps, method, boundary), strict=True):
        np.testing.assert_array_equal(found, level, strict=True)
