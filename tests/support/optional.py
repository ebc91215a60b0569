"""Packages that not everyone has: without one, the tests that need it are skipped; in CI they fail."""

import os
import warnings
from importlib import import_module

import pytest


def require(name):
    """Import a module that the extra ``test`` promises; skip the test where it is missing.

    In CI, where the environment variable ``CI`` is set, all of the extra is installed, and a skipped check
    would hide that it is not: there the missing module is an error.  Deprecations that a module finds in itself
    are its own business.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name) if os.environ.get("CI") else pytest.importorskip(name, exc_type=ImportError)


def validate_elsewhere(path):
    """Have yaozarrs, which shares no code with the library, validate a stored image."""
    require("yaozarrs").validate_zarr_store(str(path))
