"""Operations that are killed leave the old or the new, and the documented way forward ends as they would have."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kill_operations import OPERATIONS


def kill(name, kills, seed, *options):
    """Kill an operation in processes of a fresh one, as this one has threads; return the row of the table."""
    command = [sys.executable, "-m", "benchmarks.kills", "--only", name, "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run([*command, *options], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    row = done.stdout.splitlines()[2].split("|")
    return [int(cell) for cell in row[3:-1]]


def assert_old_or_new(row, kills):
    _, old, new, told, neither, different = row
    assert (neither, different) == (0, 0)
    assert old + new + told == kills


def test_a_write_that_is_killed():
    assert_old_or_new(kill("to_zarr", 2, 0), 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_killed(name):
    assert_old_or_new(kill(name, 10, 1), 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ['to_zarr(mode="w")', "update"])
def test_an_operation_that_is_killed_in_an_interpreter_of_its_own(name):
    assert_old_or_new(kill(name, 5, 2, "--spawn"), 5)
