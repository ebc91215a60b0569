"""What ``import msi_lazy`` gives: names, a version, a command line, and calls that can still grow."""

import inspect
import subprocess
import sys
from importlib.metadata import distribution

import pytest

import msi_lazy as msi

RESULTS = {"PyramidPlan", "UpgradeReport", "ValidationReport", "VerifyReport", "Viewer", "PyramidAccessor", "Methods"}
"""Classes that users are given, and do not make."""
CALLED = {
    name: getattr(msi, name)
    for name in msi.__all__
    if name != "__version__" and name not in RESULTS and not name.endswith("Error")
}
CALLED["Method.from_function"] = msi.Method.from_function
CALLED |= {
    f"pyramid.{name}": inspect.getattr_static(msi.PyramidAccessor, name)
    for name in dir(msi.PyramidAccessor)
    if not name.startswith("_")
}
BY_PLACE = {
    "to_multiscale": 3,  # an image, factors, and the method, as callers of multiscale-spatial-image give it
    "write_labels": 3,  # a store, a name, and what is called so
    "pyramid.write_labels": 3,
    "Method": 3,  # a row of the table: name, kernel, description
    "pyramid.reindex_data_arrays": 5,  # of multiscale-spatial-image, whose callers give them so
}
"""How many arguments may be given by place where that is not two."""


@pytest.mark.parametrize("name", CALLED)
def test_arguments_are_given_by_keyword_after_the_second(name):
    parameters = list(inspect.signature(CALLED[name]).parameters.values())
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "self"]
    if name in BY_PLACE:
        assert len(by_place) == BY_PLACE[name]
    else:
        assert len(by_place) <= 2
        assert not [p.name for p in by_place if isinstance(p.default, bool)]  # what would f(image, True) be?


def test_the_package_lists_its_public_names_alone():
    assert dir(msi) == sorted(msi.__all__)
    for name in dir(msi):
        assert getattr(msi, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        msi.nonsense  # noqa: B018


def test_submodules_can_be_imported_by_name():
    code = "import msi_lazy.plan.windows as w, msi_lazy; print(w is msi_lazy.plan.windows)"
    assert run("-c", code).stdout == "True\n"


def test_a_star_gives_the_public_names():
    code = "from msi_lazy import *; print(__version__, to_multiscale.__name__, 'api' in globals())"
    assert run("-c", code).stdout.split() == [distribution("msi-lazy").version, "to_multiscale", "False"]


def test_the_version_is_that_of_the_installed_package():
    assert msi.__version__ == distribution("msi-lazy").version


def test_the_package_runs_as_the_command_line():
    done = run("-m", "msi_lazy", "--version")
    assert done.stdout == f"msi-lazy, version {msi.__version__}\n"
    assert "convert" in run("-m", "msi_lazy", "--help").stdout


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
