"""What is built for others to install, and what importing it loads."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
HEAVY = ["distributed", "itk", "matplotlib", "neuroglancer", "numba", "scipy.optimize", "tornado"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the wheel and the sdist, made by the build backend itself: no network, no environment."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=REPOSITORY, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        yield {name.partition("/")[2] for name in archive.getnames()}


def sources(folder):
    """Python files of the repository below ``folder``."""
    return {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / folder).rglob("*.py")}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == sources("msi_lazy") | {"msi_lazy/py.typed"}


def test_the_wheel_says_what_the_project_does(wheel):
    name = f"msi_lazy-{PROJECT['version']}.dist-info"
    metadata = message_from_bytes(wheel.read(f"{name}/METADATA"))
    assert metadata["Name"] == "msi-lazy"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    required = [requirement for requirement in metadata.get_all("Requires-Dist") if "extra ==" not in requirement]
    assert sorted(required) == sorted(PROJECT["dependencies"])
    assert wheel.read(f"{name}/licenses/LICENSE") == (REPOSITORY / "LICENSE").read_bytes()
    assert wheel.read(f"{name}/entry_points.txt").decode().split() == [
        "[console_scripts]",
        "msi-lazy",
        "=",
        "msi_lazy.__main__:run",
    ]


def test_the_sdist_holds_what_it_takes_to_develop(sdist):
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml"}
    wanted |= {"examples/levels.png", "msi_lazy/py.typed"}
    for folder in ["msi_lazy", "tests", "benchmarks"]:
        wanted |= sources(folder)
    assert wanted - sdist == set()
    assert not [name for name in sdist if name.endswith((".pyc", ".nbi", ".nbc"))]


def test_extras_are_installable_by_the_names_that_messages_give():
    """Every ``pip install 'msi-lazy[extra]'`` that the package or the README names is an extra of the project."""
    texts = [path.read_text() for path in (REPOSITORY / "msi_lazy").rglob("*.py")]
    texts.append((REPOSITORY / "README.md").read_text())
    pattern = r"(?:msi-lazy|pip install '\.)\[([\w, ]+)\]"
    named = {extra.strip() for text in texts for group in re.findall(pattern, text) for extra in group.split(",")}
    assert "demo" in named
    assert named <= set(PROJECT["optional-dependencies"])


def test_every_requirement_has_a_lower_bound():
    """``.ci/lowest`` installs them; one without a bound would be as old as there is."""
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    assert [line for line in lines if ">=" not in line] == [
        "msi-lazy[demo,icechunk,itk,plot,s3,view]",
        "msi-lazy[demo]",
    ]


def test_the_changelog_has_a_part_for_this_version_and_for_what_is_to_come():
    parts = re.findall(r"^## \[(.+)\]", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert parts[0] == "Unreleased"
    assert PROJECT["version"] in parts


def test_what_contributors_are_pointed_to_is_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    named = {name for name in re.findall(r"`([\w./]+)`", text) if "/" in name or name.endswith(".py")}
    rooms = ("", "msi_lazy")
    assert not [name for name in named if not any((REPOSITORY / room / name).exists() for room in rooms)]


def test_the_installed_version_is_the_projects():
    assert distribution("msi-lazy").version == PROJECT["version"]


@pytest.mark.parametrize("module", HEAVY)
def test_importing_loads_nothing_heavy(module, loaded):
    assert "msi_lazy" in loaded
    assert module not in loaded


@pytest.fixture(scope="module")
def loaded():
    """Modules that a new process has after ``import msi_lazy``."""
    script = "import sys, msi_lazy; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )
