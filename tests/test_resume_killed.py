"""A write whose process is killed goes on: what it leaves is whole or opens as nothing, and resumed it is complete."""

import random
from pathlib import Path

import pytest

import msi_lazy as msi
from tests.support.failing_writes import assert_complete
from tests.support.killing import CASES, contents, kill_after, make_source, start, write


@pytest.mark.parametrize("name", ["mean", "labels", "planes"])
def test_killed_once(tmp_path, name):
    kill_and_resume(tmp_path, name, random.Random(name), kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(28))
def test_killed_anywhere(tmp_path, seed):
    images = [name for name in CASES if name != "plate"]
    kill_and_resume(tmp_path, images[seed % len(images)], random.Random(seed), kills=3)


def kill_and_resume(tmp_path: Path, name: str, chance: random.Random, kills: int) -> None:
    case = CASES[name]
    make_source(tmp_path, case.get("planes", False))
    write(tmp_path, tmp_path / "whole.zarr", case)
    target, where = tmp_path / "killed.zarr", case.get("group", "")
    killed = False
    for _ in range(kills):
        running = kill_after(start(tmp_path, target, case, resume=True), chance.uniform(0, 1.5))
        killed |= running
        if not running:
            break
        try:
            back = msi.open_multiscale(target, group=where)
        except (ValueError, FileNotFoundError):
            continue
        whole = msi.open_multiscale(tmp_path / "whole.zarr", group=where)
        assert_complete(back, whole)
    else:
        write(tmp_path, target, case, resume=True)
    assert killed or kills > 1
    assert contents(target) == contents(tmp_path / "whole.zarr")
