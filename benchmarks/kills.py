"""Writes that are killed at random moments: what is left, and whether the documented way forward ends as planned.

Run as ``python -m benchmarks.kills --kills 100``.  Each operation runs in a process that is forked from this one, and
is killed (SIGKILL) at a moment between its beginning and somewhat after its usual end.  Then a fresh process looks: it
sees the old, the new, or neither.  Last the way forward is gone, and every file compared with those that an operation
leaves that is not killed.  With ``--spawn`` the operation runs in an interpreter of its own, with the Rust codecs,
without which forked ones may do; that takes some seconds more for each kill.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import dask

from benchmarks.kill_operations import OPERATIONS, look, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.kill_operations import Operation

_LONGEST = 120
"""Seconds after which a process counts as hung."""
_AFTER = 1.2
"""Latest moment of a kill, by the usual duration."""


def in_child(function: Callable[[Path], Any], folder: Path) -> Any:
    """Call a function in a forked process; its result, or what it raised as a string.

    Returns
    -------
    tuple
        Whether it succeeded, and the result or the error.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _silence()
        try:
            with dask.config.set(scheduler="threads", num_workers=2):
                said = (True, function(folder))
        except BaseException as error:
            said = (False, f"{type(error).__name__}: {error}"[:300])
        os.write(writing, pickle.dumps(said))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(content) if content else (False, "hung, or was killed")


def _silence() -> None:
    """Print nothing, and end where the process hangs."""
    signal.alarm(_LONGEST)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def start(name: str, folder: Path, spawn: bool) -> int:
    """Start an operation in a process of its own, and return its number once it begins."""
    if spawn:
        command = [sys.executable, "-m", "benchmarks.kills", "--victim", name, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process.pid
    pid = os.fork()
    if pid == 0:
        _silence()
        operate(name, folder)
    return pid


def operate(name: str, folder: Path) -> None:
    """Run an operation, and end the process."""
    try:
        with dask.config.set(scheduler="threads", num_workers=2):
            OPERATIONS[name].run(folder)
    finally:
        os._exit(0)


def kill_after(pid: int, seconds: float) -> bool:
    """Kill a process after some time; tell whether it was still running."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(min(0.002, max(0.0, until - time.monotonic())))
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its bytes, and every directory."""
    paths = list(folder.rglob("*"))
    return {str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes() for path in paths}


class Trials:
    """Kills of one operation."""

    def __init__(self, name: str, folder: Path, seed: int, spawn: bool = False) -> None:
        self.operation: Operation = OPERATIONS[name]
        self.name, self.folder, self.spawn = name, folder, spawn
        self.random = random.Random(f"{name} {seed}")
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._kills = 0
        self._before, self._after = folder / "before", folder / "after"
        self._before.mkdir(parents=True)
        self._expect(in_child(self.operation.before, self._before))
        self.seconds = max(self._measure() for _ in range(2))
        self.old, self.new = (self._expect(in_child(look, path)) for path in (self._before, self._after))
        self.expected = contents(self._after)

    def _measure(self) -> float:
        """Seconds of an operation that is not killed."""
        shutil.rmtree(self._after, ignore_errors=True)
        shutil.copytree(self._before, self._after)

        def run(folder: Path) -> float:
            began = time.perf_counter()
            self.operation.run(folder)
            return time.perf_counter() - began

        return float(self._expect(in_child(run, self._after)))

    def _expect(self, said: tuple[bool, Any]) -> Any:
        if not said[0]:
            raise RuntimeError(f"{self.name} failed where it was not killed: {said[1]}")
        return said[1]

    def kill(self) -> None:
        """Kill the operation once, look, go on, and compare."""
        self._kills += 1
        folder = self.folder / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._before, folder)
        moment = self.random.uniform(0, _AFTER * self.seconds)
        way = self.random.randrange(len(self.operation.again))
        running = kill_after(start(self.name, folder, self.spawn), moment)
        state = self._state(folder)
        self.counts["killed" if running else "ended before"] += 1
        self.counts[state] += 1
        when = f"{self.name}, kill {self._kills} after {moment:.3f} s"
        if state == "neither":
            self.faults.append(f"{when}: {describe(in_child(look, folder)[1], self.old, self.new)}")
        left = contents(folder)
        is_whole = state == "new" and self._has_hidden_remains(left)
        if left == self.expected or (is_whole and not self.operation.repeatable):
            return
        succeeded, said = in_child(self.operation.again[way], folder)
        if contents(folder) != self.expected and not (is_whole and not succeeded and "no incomplete image" in said):
            self.counts["not equal"] += 1
            what = self._difference(folder) if succeeded else said
            self.faults.append(f"{when}, left {state}, then way {way + 1}: {what}")

    def _has_hidden_remains(self, left: dict[str, bytes]) -> bool:
        """Tell whether all is as expected, but for a ledger that has no use: there is nothing to go on with."""
        hidden = {name for name in left if "/.msi_lazy-" in name}
        seen = {name: content for name, content in left.items() if name not in hidden - self.expected.keys()}
        return seen == self.expected

    def _state(self, folder: Path) -> str:
        succeeded, seen = in_child(look, folder)
        if succeeded and seen in (self.old, self.new):
            return "old" if seen == self.old else "new"
        told, said = in_child(self.operation.told, folder)
        return "told" if told and said else "neither"

    def _difference(self, folder: Path) -> str:
        found = contents(folder)
        names = sorted(
            name for name in found.keys() | self.expected.keys() if found.get(name) != self.expected.get(name)
        )
        more, less = (
            [name for name in names if name not in self.expected],
            [name for name in names if name not in found],
        )
        return f"{len(names)} files differ ({len(more)} more, {len(less)} fewer), such as {names[:3]}"


def describe(seen: Any, old: Any, new: Any) -> str:
    """Say which of the images that a reader sees are neither as before nor as after."""
    if not isinstance(seen, dict):
        return str(seen)
    parts = []
    for name in sorted(seen.keys() | old.keys() | new.keys()):
        image, before, after = (looked.get(name, "not listed") for looked in (seen, old, new))
        if image in (before, after):
            image = "old" if image == before else "new"
        parts.append(f"{name or 'image'} {image if isinstance(image, str) else 'mixed'}")
    return "left " + ", ".join(parts)


@click.command()
@click.option("--kills", default=30, show_default=True, help="Kills of each operation.")
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
@click.option("--only", multiple=True, type=click.Choice(list(OPERATIONS)), help="Operations; by default all.")
@click.option("--spawn", is_flag=True, help="Run each operation in an interpreter of its own.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="Where to write.")
@click.option("--victim", nargs=2, type=click.Path(), hidden=True)
def main(
    kills: int, seed: int, only: tuple[str, ...], spawn: bool, directory: Path | None, victim: tuple[str, str] | None
) -> None:
    """Print what kills of each operation left; exit with 1 if anything was neither old nor new, or not equal."""
    warm_up()
    if victim:
        click.echo("ready")
        operate(victim[0], Path(victim[1]))
    faults = 0
    click.echo("| operation | seconds | killed | old | new | in between, told | neither | not equal after the way on |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name in only or OPERATIONS:
        with TemporaryDirectory(dir=directory) as temporary:
            trials = Trials(name, Path(temporary), seed, spawn)
            for _ in range(kills):
                trials.kill()
        row = [trials.counts[what] for what in ("killed", "old", "new", "told", "neither", "not equal")]
        click.echo(f"| `{name}` | {trials.seconds:.2f} | " + " | ".join(map(str, row)) + " |")
        click.echo("\n".join(trials.faults), err=True)
        faults += len(trials.faults)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
