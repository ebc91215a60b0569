"""Hypothesis profiles and fixtures of all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from zarr.storage import MemoryStore

from tests.support.counting import CountingStore

# no deadline: a kernel's first call compiles it
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=60, **common)
settings.register_profile("ci", max_examples=20, derandomize=True, **common)
settings.register_profile("brief", max_examples=8, derandomize=True, **common)
settings.register_profile("long", max_examples=2000, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


@pytest.fixture
def counting_store():
    return CountingStore(MemoryStore())


@pytest.fixture(autouse=True)
def _unsynced(request, monkeypatch):
    """Leave what tests write to the operating system, but for those of syncing: it is thousands of small images."""
    if request.node.get_closest_marker("synced") is None:
        monkeypatch.setattr("msi_lazy.storage.target.sync_file_system", lambda _directory: None)


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """SIGINT interrupts here and in processes started from here, also where a shell started pytest with ``&``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="most cases of each test that has parameters, evenly spread")


def pytest_collection_modifyitems(config, items):
    most = config.getoption("cases")
    if most is None:
        return
    tests = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {id(cases[number * len(cases) // most]) for cases in tests.values() for number in range(most)}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]
