"""Hypothesis profiles and fixtures of all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from zarr.storage import MemoryStore

from tests.support.counting import CountingStore

# no deadline: a kernel's first call compiles it
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=60, **common)
settings.register_profile("ci", max_examples=12, derandomize=True, **common)
settings.register_profile("brief", max_examples=8, derandomize=True, **common)
settings.register_profile("long", max_examples=2000, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


@pytest.fixture
def counting_store():
    return CountingStore(MemoryStore())
