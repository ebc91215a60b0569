"""A store that fails is not an image that is wrong: such reads are tried again, and else told apart."""

import bz2
import errno
import gzip
import time
from itertools import count

import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.storage import store_errors
from msi_lazy.storage.arrays import open_array, runs_in_rust
from msi_lazy.storage.checked_read import try_read
from msi_lazy.storage.store_errors import is_store_error, retried_read
from msi_lazy.storage.write_units import unit_grid
from tests.support.damage import flip, found, truncate, write
from tests.support.failing_writes import snapshot
from tests.support.killing import contents
from tests.support.optional import require

EIO = OSError(errno.EIO, "Input/output error")


class UnreadableStore(WrapperStore):
    """A store of which some reads fail, of keys with a name in them."""

    def __init__(self, store, key="", times=0, error=EIO, state=None):
        super().__init__(store)
        self.state = state or {"key": key, "left": times, "error": error}

    def with_read_only(self, read_only=False):
        return UnreadableStore(self._store.with_read_only(read_only), state=self.state)

    async def get(self, key, *args, **kwargs):
        wanted = self.state["key"]
        hit = wanted.is_in(key) if isinstance(wanted, _Nth) else wanted in key
        if hit and self.state["left"] > 0:
            self.state["left"] -= 1
            raise self.state["error"].with_traceback(None)
        return await super().get(key, *args, **kwargs)


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Pauses between tries, that take no time."""
    taken = []
    monkeypatch.setattr(store_errors.time, "sleep", taken.append)
    return taken


ERRORS = [EIO, TimeoutError(), ConnectionResetError(), OSError(errno.EBUSY, "SlowDown")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("key", ["", "zarr.json", "scale0/image/c/0/0", "scale1/image/c/1/1", "scale2/image/c/0/0"])
def test_a_store_that_fails_now_and_then_does_not_show(key, error, pauses):
    write(sound := MemoryStore())
    store = UnreadableStore(sound, key, error=error)
    for check in (msi.verify, lambda one: msi.validate(one, decode="all"), lambda one: msi.verify(one, repair=True)):
        for times in (1, 2):
            store.state["left"] = times
            assert check(store).ok
            assert store.state["left"] == 0
    assert set(pauses) <= {0.1, 0.3}


@pytest.mark.parametrize("operation", ["verify", "validate", "update"])
def test_any_one_read_may_fail(operation):
    """Each read in turn, until there are no more."""
    write(sound := MemoryStore(), chunks=32)
    store = UnreadableStore(sound)
    operations = {
        "verify": lambda: msi.verify(store).ok,
        "validate": lambda: msi.validate(store, decode="all").ok,
        "update": lambda: msi.update(store, (slice(None), slice(None))) is None,
    }
    at, hit = 0, True
    while hit:
        reads = count()
        store.state.update(left=1, key=_Nth(reads, at))
        assert operations[operation]()
        at, hit = at + 1, store.state["left"] == 0
    assert at > 20


class _Nth:
    """Stands for the key that is read after so many others."""

    def __init__(self, reads, at):
        self.reads, self.at = reads, at

    def is_in(self, key):
        return next(self.reads) == self.at


def test_each_chunk_that_could_not_be_read_is_named_as_such_and_nothing_is_repaired(tmp_path):
    write(sound := MemoryStore(), factors=[2, 2, 2])
    before = snapshot(sound)
    store = UnreadableStore(sound, "scale1/image/c/1/2", times=10**9)
    for repair in (False, True):
        report = msi.verify(store, repair=repair)
        assert not report.ok
        assert not report.faulty
        assert found(report)[0] == ("scale1/image", (1, 2), "unread")
        followers = [finding for finding in report.findings if finding.follows]
        assert {finding.kind for finding in followers} == {"unchecked"}
        assert not any(finding.repaired for finding in report.findings)
        assert snapshot(sound) == before
    assert ": no faulty block, 1 block that could not be checked\n" in str(report)
    assert "unread, could not be read, as the store failed: it may be sound" in str(report)
    assert "not repaired: nothing is written over what may be sound" in report.findings[0].note


def test_nothing_is_repaired_from_what_could_not_be_read():
    write(sound := MemoryStore(), factors=[2, 2, 2])
    array = zarr.open_array(sound, path="scale2/image")
    array[0, 5] = 1
    before = snapshot(sound)
    report = msi.verify(UnreadableStore(sound, "scale1/image/c/0/0", times=10**9), repair=True)
    assert ("scale2/image", "unchecked") in [(finding.path, finding.kind) for finding in report.findings]
    assert snapshot(sound) == before
    assert msi.verify(sound, repair=True).ok


def test_a_fault_beside_is_still_a_fault_and_repaired():
    write(sound := MemoryStore())
    whole = snapshot(sound)
    zarr.open_array(sound, path="scale1/image")[20, 20] = 1
    store = UnreadableStore(sound, "scale1/image/c/0/0", times=10**9)
    report = msi.verify(store)
    assert report.faulty
    assert {kind for *_, kind in found(report)} == {"unread", "differs"}
    assert (": 1 faulty block, 1 block that could not be checked\n") in str(report)
    assert not msi.verify(store, repair=True).faulty
    assert snapshot(sound) == whole


def test_validate_tells_what_it_could_not_read():
    write(sound := MemoryStore())
    report = msi.validate(UnreadableStore(sound, "scale1/image/c/1/1", times=10**9), decode="all")
    assert not report.ok
    assert not report.errors
    (finding,) = report.unread
    assert (finding.rule, finding.path) == ("store-read", "/scale1/image")
    assert "they may be sound: try again" in finding.message
    assert "no fault found in OME-Zarr 0.5: 1 SHOULD broken, 1 part not read, as the store failed" in str(report)
    assert "UNREAD" in report._repr_html_()
    for key in ("scale1/image/zarr.json", "labels/zarr.json"):
        report = msi.validate(UnreadableStore(sound, key, times=10**9))
        assert not report.errors
        assert [finding.path for finding in report.unread] == [f"/{key.rpartition('/')[0]}"]
    with pytest.raises(OSError, match="could not be read, as the store failed"):
        msi.validate(UnreadableStore(sound, "zarr.json", times=10**9))


def test_a_permission_is_not_waited_for(pauses):
    write(sound := MemoryStore())
    report = msi.verify(UnreadableStore(sound, "scale1/image/c/1/1", 10**9, PermissionError("403")))
    assert found(report)[0] == ("scale1/image", (1, 1), "unread")
    assert not pauses


def test_the_command_line_has_an_exit_code_for_it(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr", version="0.4", compressors=None)
    original = LocalStore.get
    key = "scale1/image/1/1"

    async def get(store, name, *args, **kwargs):
        if name == key:
            raise EIO
        return await original(store, name, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", get)
    monkeypatch.setattr("msi_lazy.storage.arrays.runs_in_rust", lambda array: False)
    for command, words in (("verify", "could not be read"), ("validate", "not read, as the store failed")):
        shown = CliRunner().invoke(
            main, [command, str(tmp_path / "a.zarr"), *["--decode=all"] * (command == "validate")]
        )
        assert shown.exit_code == 3
        assert words in shown.output
    key = ".zattrs"
    for command in ("verify", "validate"):
        shown = CliRunner().invoke(main, [command, str(tmp_path / "a.zarr")])
        assert shown.exit_code == 3
        assert "Input/output error" in shown.output
    key = "nothing"
    truncate(tmp_path / "a.zarr/scale1/image/0/0")
    for command in ("verify", "validate"):
        assert CliRunner().invoke(main, [command, str(tmp_path / "a.zarr")]).exit_code == 1


@pytest.mark.parametrize("shards", [None, 32])
def test_errors_of_files_that_the_rust_codecs_raise_are_known(shards, tmp_path):
    """A file that gives an error when it is read, as the memory of the process does at its beginning."""
    write(tmp_path / "a.zarr", shards=shards)
    array = open_array(LocalStore(tmp_path / "a.zarr"), "scale0/image", "r")
    assert runs_in_rust(array)
    units = unit_grid(array)
    chunk = tmp_path / "a.zarr/scale0/image/c/0/0"
    chunk.unlink()
    chunk.symlink_to(chunk.name)  # a circle
    error = try_read(array, units.window((0, 0)), units)
    assert store_errors._number(error) == errno.ELOOP
    assert not is_store_error(error)


def test_what_is_a_failure_of_the_store_and_what_is_a_damaged_chunk():
    require("botocore")
    from botocore.exceptions import ClientError, EndpointConnectionError

    failures = [
        *ERRORS,
        require("aiohttp").ClientPayloadError(),
        ClientError({}, "GetObject"),
        EndpointConnectionError(endpoint_url="x"),
        PermissionError("403"),
    ]
    failures += [RuntimeError("Input/output error (os error 5)"), BrokenPipeError(), OSError(errno.ESTALE, "stale")]
    try:
        raise ValueError("wrapped") from EIO
    except ValueError as error:
        failures.append(error)
    assert all(map(is_store_error, failures))
    damages = [gzip.BadGzipFile("x"), OSError("Invalid data stream"), EOFError(), ValueError("x"), KeyError("x")]
    damages += [RuntimeError("blosc encoded value is invalid"), FileNotFoundError("x"), IsADirectoryError(21, "x")]
    for decompress in (gzip.decompress, bz2.decompress):
        with pytest.raises((OSError, EOFError, ValueError)) as caught:
            decompress(b"not compressed at all")
        damages.append(caught.value)
    assert not any(map(is_store_error, damages))


def test_a_damaged_chunk_is_not_read_again_and_again(tmp_path, pauses):
    write(tmp_path / "a.zarr")
    truncate(tmp_path / "a.zarr/scale1/image/c/0/1")
    flip(tmp_path / "a.zarr/scale1/image/c/1/1")
    sound = contents(tmp_path / "a.zarr/scale0")
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert not pauses
    assert contents(tmp_path / "a.zarr/scale0") == sound


def test_tries_end(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(store_errors, "_PAUSES", (0.01, 0.02))
    tried, begin = [], time.monotonic()

    def read():
        tried.append(1)
        raise EIO

    with pytest.raises(OSError, match="Input/output"):
        retried_read(read)
    assert len(tried) == 3
    assert time.monotonic() - begin >= 0.03
    with pytest.raises(OSError, match="Input/output"):
        retried_read(read, again=False)
    assert len(tried) == 4


@pytest.mark.parametrize(
    ("module", "name", "bases"),
    [
        ("botocore.exceptions", "NoCredentialsError", (Exception,)),
        ("aiohttp.client_exceptions", "InvalidURL", (ValueError,)),
    ],
)
def test_what_no_store_was_asked_for_is_not_asked_for_again(module, name, bases):
    error, asked = type(name, bases, {"__module__": module}), []

    def read():
        asked.append(1)
        raise error

    with pytest.raises(error):
        retried_read(read)
    assert len(asked) == 1
