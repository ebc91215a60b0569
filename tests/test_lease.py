"""One write at a time has the lease of a target; what another has taken over is known before anything is stored."""

import json
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore

import msi_lazy as msi
from msi_lazy.compat.zarr_stores import store_bytes
from msi_lazy.errors import LeaseLostError, TargetInUseError
from msi_lazy.storage import lease as leases
from msi_lazy.storage import lease_documents
from msi_lazy.storage.lease import Lease
from msi_lazy.storage.lease_documents import LeaseContents, LeaseFile, LeaseKey
from msi_lazy.storage.place import Place
from msi_lazy.storage.writer_process import WriterProcess
from tests.support.optional import require

FOLDER = "a.zarr/.ledger"
WHAT = "the image at a.zarr"
SPAWN = multiprocessing.get_context("spawn")


def acquire(place, *, held=True):
    return Lease.acquire(place, FOLDER, held=held, what=WHAT)


def stored(lease):
    return LeaseContents.parse(lease.document.read())


def put_owner(lease, **changes):
    """Let the lease have another owner than this process."""
    owner = replace(WriterProcess.current(), **changes)
    return lease.document.rewrite(LeaseContents(lease.token, owner))


@pytest.fixture(params=["local", "local by fsspec", "memory", "fsspec", "obstore", "icechunk"])
def place(request, tmp_path, monkeypatch):
    monkeypatch.setattr(lease_documents, "_SETTLING", 0)
    monkeypatch.setattr(LeaseKey, "trusted", 0.0)
    if request.param.startswith("local"):
        store = LocalStore(tmp_path) if request.param == "local" else FsspecStore.from_url(f"file://{tmp_path}")
    elif request.param == "memory":
        store = MemoryStore()
    elif request.param == "fsspec":
        store = FsspecStore.from_url(f"memory://{tmp_path}")
    elif request.param == "obstore":
        store = ObjectStore(require("obstore").store.MemoryStore())
    else:
        icechunk = require("icechunk")
        repository = icechunk.Repository.create(icechunk.in_memory_storage())
        store = repository.writable_session("main").store
    return Place.parse(store)


@pytest.fixture
def local(tmp_path):
    return Place.parse(tmp_path)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(leases, "_BEAT", 0.02)
    monkeypatch.setattr(leases, "_WATCH", 0.4)


def test_a_write_has_the_lease_until_it_ends(place):
    lease = acquire(place)
    owner = stored(lease).owner
    assert owner.is_this_one
    assert owner.runs()
    with lease.held():
        lease.check()
        with pytest.raises(TargetInUseError, match=f"process {os.getpid()} on .*, since 20.* resume=True") as caught:
            acquire(place)
        assert WHAT in str(caught.value)
        assert isinstance(caught.value, msi.StoreExistsError)
        lease.check()
    assert stored(lease) == LeaseContents(lease.token, None, stored(lease).beat)
    lease.check()
    lease.remove()
    assert lease.document.read() is None
    with pytest.raises(LeaseLostError, match="nothing more is stored by this one"):
        lease.check()


def test_who_takes_over_is_the_only_one(place):
    first = acquire(place, held=False)
    assert stored(first).owner is None
    second = acquire(place)
    with pytest.raises(LeaseLostError, match=f"another write has taken over {WHAT}"):
        first.check()
    with pytest.raises(LeaseLostError), first.held():
        raise AssertionError
    first.release()
    first.remove()  # neither of which the second one notices
    second.check()
    assert stored(second).owner is not None
    second.release()
    third = acquire(place)
    with third.held():
        third.check()
    with pytest.raises(LeaseLostError):
        second.check(again=True)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_gives_the_lease_back(local, error):
    lease = acquire(local)
    with pytest.raises(error), lease.held():
        raise error
    assert stored(lease).owner is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("msi_lazy lease")]
    acquire(local).release()


def test_where_no_thread_can_be_started_the_lease_is_given_back(local, monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            acquire(local)
    acquire(local).release()


def test_a_lease_without_owner_is_held_while_it_is_computed(place):
    lease = acquire(place, held=False)
    with lease.held(), pytest.raises(TargetInUseError):
        acquire(place, held=False)
    assert stored(lease).owner is None


def test_an_owner_gives_signs_of_life(place, impatient):
    lease = acquire(place)
    with lease.held():
        seen = set()
        until = time.monotonic() + 10
        while len(seen) < 4 and time.monotonic() < until:
            contents = stored(lease)
            assert contents.token == lease.token
            seen.add(contents.beat)
        assert len(seen) == 4
    last = stored(lease)
    time.sleep(0.1)
    assert stored(lease) == last


def test_a_lease_travels(local):
    lease = acquire(local)
    with lease.held():
        copy = pickle.loads(pickle.dumps(lease))
        assert copy == lease
        copy.check()
    key = acquire(Place.parse("memory://travels"), held=False)
    assert pickle.loads(pickle.dumps(key)) == key


def hold(folder, ready):
    """Own the lease in a process of its own until it is killed."""
    lease = Lease.acquire(Place.parse(folder), FOLDER, held=True, what=WHAT)
    with lease.held():
        ready.set()
        time.sleep(600)


@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "zombie"])
def test_the_lease_of_a_killed_process_is_taken_at_once(tmp_path, local, reaped):
    ready = SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(120)
    with pytest.raises(TargetInUseError, match=f"process {process.pid} on"):
        acquire(local)
    os.kill(process.pid, signal.SIGKILL)
    if reaped:
        process.join()
    else:
        time.sleep(0.2)
    began = time.monotonic()
    acquire(local).release()
    assert time.monotonic() - began < 5
    process.join()


def test_a_process_that_is_stopped_still_has_its_lease(tmp_path, local):
    ready = SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(120)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TargetInUseError):
            acquire(local)
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    "elsewhere",
    [{"host": "node7", "machine": "other"}, {"machine": "a container"}, {"pid": os.getppid(), "started": 1.0}],
)
def test_an_owner_that_cannot_be_looked_up_is_watched(place, impatient, elsewhere):
    lease = acquire(place, held=False)
    assert put_owner(lease, **elsewhere)
    owner, beating = stored(lease).owner, threading.Event()

    def beat():
        number = 0
        while not beating.wait(0.05):
            number += 1
            lease.document.rewrite(LeaseContents(lease.token, owner, number))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(TargetInUseError, match=f"process {owner.pid} on {owner.host}"):
            acquire(place)
    finally:
        beating.set()
        thread.join()
    acquire(place).release()  # after no beat
    with pytest.raises(LeaseLostError):
        lease.check()


def test_an_owner_that_ends_while_it_is_watched_is_replaced(local, impatient, monkeypatch):
    monkeypatch.setattr(leases, "_WATCH", 30)
    lease = acquire(local, held=False)
    assert put_owner(lease, machine="other")
    threading.Timer(0.2, lambda: lease.document.rewrite(LeaseContents(lease.token, None, 7))).start()
    acquire(local).release()


def test_a_process_of_the_same_number_in_the_past_is_gone(local):
    lease = acquire(local, held=False)
    assert put_owner(lease, started=5.0)  # this process's own number
    acquire(local).release()


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"[" * 4000,
    b"[" * 10**6,
    b"\0" * 300,
    b"\xff\xfe",
    b'{"token": 5}',
    b'{"token": "x", "beat": true, "owner": {}}',
    b'{"token": "x", "beat": 1e999, "owner": []}',
    b'{"token": "x", "beat": ' + b"9" * 4000 + b"}",
    *(
        json.dumps({"token": "x", "beat": 1, "owner": {**WriterProcess.current().to_json(), **changes}}).encode()
        for changes in (
            {"pid": "1"},
            {"pid": -1},
            {"pid": 0},
            {"pid": True},
            {"pid": 2**70},
            {"pid": None},
            {"started": "now"},
            {"started": float("nan")},
            {"started": float("inf")},
            {"started": 10**300},
            {"host": None},
            {"host": "\x1b[2Jnode"},
            {"host": "x" * 3000},
            {"since": ["today"]},
            {"machine": {}},
        )
    ),
]


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: repr(content[:20]))
def test_what_is_no_lease_has_no_owner(tmp_path, monkeypatch, where, content):
    monkeypatch.setattr(LeaseKey, "trusted", 0.0)
    place = Place.parse(tmp_path if where == "local" else MemoryStore())
    lease = acquire(place, held=False)
    if where == "local":
        with open(lease.document.path, "wb") as file:
            file.write(content)
    else:
        before = b'{"zarr_format": 3, "node_type": "group", "attributes": {"lease": '
        store_bytes(place.store, lease.document.key, before + content + b"}}")
    with pytest.raises(LeaseLostError):
        lease.check()
    with acquire(place).held():
        pass


def test_no_link_is_followed(local, tmp_path):
    lease = acquire(local, held=False)
    path = tmp_path / FOLDER / "lease"
    precious = tmp_path / "precious"
    precious.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(LeaseLostError):  # though the file has the token
        lease.check()
    lease.remove()
    assert path.is_symlink()
    content = precious.read_bytes()
    with acquire(local).held():
        assert not path.is_symlink()
    assert precious.read_bytes() == content


def test_a_folder_that_is_a_link_is_refused(local, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(msi.StoreExistsError, match="symbolic link"):
        acquire(local)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_directory_in_its_place_is_put_aside(local, tmp_path, make):
    lease = acquire(local, held=False)
    path = tmp_path / FOLDER / "lease"
    path.unlink()
    make(path)
    with pytest.raises(LeaseLostError):
        lease.check()
    with acquire(local).held():
        assert path.is_file()


STATES = ("nothing", "released", "torn", "dead")


def race(folder, start, results):
    for state in STATES:
        start.wait()
        try:
            lease = Lease.acquire(Place.parse(folder / state), FOLDER, held=True, what=WHAT)
        except TargetInUseError:
            results.put((state, "refused"))
            start.wait()
            continue
        with lease.held():
            start.wait()
            lease.check()
            results.put((state, "won"))


def test_one_of_many_processes_wins(tmp_path):
    for state in STATES:
        leave(Place.parse(tmp_path / state), state)
    start, results = SPAWN.Barrier(8), SPAWN.Queue()
    processes = [SPAWN.Process(target=race, args=(tmp_path, start, results)) for _ in range(8)]
    for process in processes:
        process.start()
    said = sorted(results.get(timeout=120) for _ in range(8 * len(STATES)))
    for process in processes:
        process.join()
    assert said == sorted((state, what) for state in STATES for what in ["refused"] * 7 + ["won"])
    assert all(os.listdir(tmp_path / state / FOLDER) == ["lease"] for state in STATES)


def leave(place, left):
    if left == "nothing":
        return
    lease = acquire(place, held=False)
    if left == "torn":
        lease.document.rewrite(LeaseContents(lease.token))
        lease_path = lease.document.path
        with open(lease_path, "r+b") as file:
            file.truncate(30)
    elif left == "dead":
        process = subprocess.Popen([sys.executable, "-c", "pass"])
        process.wait()
        assert put_owner(lease, pid=process.pid)


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_one_of_many_threads_wins(place, locks, monkeypatch):
    if not locks:
        monkeypatch.setattr("msi_lazy.compat.directory_lock.fcntl", None)
    for released in (False, True, True):
        start = threading.Barrier(8)

        def contend(_, start=start):
            start.wait()
            try:
                return acquire(place)
            except TargetInUseError:
                return None

        with ThreadPoolExecutor(8) as pool:
            won = [lease for lease in pool.map(contend, range(8)) if lease is not None]
        assert len(won) == 1, released
        won[0].check()
        won[0].release()


def test_a_forked_child_is_not_its_parent(local):
    lease = acquire(local)
    with lease.held():
        pid = os.fork()
        if pid == 0:
            try:
                acquire(local)
            except TargetInUseError:
                lease.release()
                os._exit(0)
            except BaseException:
                os._exit(2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert stored(lease).owner.is_this_one  # the child has released nothing
        lease.check()


def test_other_stores_are_asked_now_and_then(monkeypatch):
    reads = []
    place = Place.parse(MemoryStore())
    lease = acquire(place, held=False)
    monkeypatch.setattr(LeaseKey, "holds", lambda self, token: reads.append(token) or True)
    for _ in range(100):
        lease.check()
    assert len(reads) == 1
    lease.check(again=True)
    assert len(reads) == 2


def test_a_check_of_a_local_lease_uses_no_loop_of_zarr(local, monkeypatch):
    lease = acquire(local, held=False)
    monkeypatch.setattr("msi_lazy.compat.zarr_stores.sync", None)
    lease.check()
    began = time.perf_counter()
    for _ in range(1000):
        lease.check()
    assert (time.perf_counter() - began) / 1000 < 1e-3  # about 10 us


def test_a_disk_without_hard_links(local, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    first = acquire(local, held=False)
    second = acquire(local)
    with second.held(), pytest.raises(LeaseLostError):
        first.check()


def test_a_beat_that_cannot_be_stored_stops_nothing(local, impatient, monkeypatch, caplog):
    lease = acquire(local)
    monkeypatch.setattr(LeaseFile, "rewrite", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with lease.held():
        until = time.monotonic() + 10
        while caplog.text.count("no sign of life") < 2 and time.monotonic() < until:
            time.sleep(0.01)
        lease.check()
    assert "could not be released" in caplog.text
    monkeypatch.undo()
    acquire(local).release()  # this process knows that it has ended


def test_hosts_are_named_as_they_can_be_printed(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node\x1b[31m")
    assert WriterProcess.current().host == "node?[31m"
    assert WriterProcess.parse(WriterProcess.current().to_json()).is_this_one
