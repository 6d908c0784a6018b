"""What is built is what is on the disk, and nothing else reaches anybody's site-packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
CONSTRAINTS = (ROOT / ".ci" / "constraints.txt").read_text()


def packages_on_disk() -> set[str]:
    """Every folder under bayescmp/ that holds Python files, the symlinked two included."""
    found = set()
    for folder, inner, files in os.walk(ROOT / "bayescmp", followlinks=True):
        inner[:] = [name for name in inner if name != "__pycache__"]
        if any(name.endswith(".py") for name in files):
            found.add(".".join(Path(folder).relative_to(ROOT).parts))
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build a wheel from a copy of the sources and return the names of its files."""
    source = tmp_path_factory.mktemp("source")
    for name in ("bayescmp", "models", "studies"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    run = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_package_list_is_complete():
    assert set(SETUPTOOLS["packages"]) == packages_on_disk()


@pytest.mark.parametrize("name", ["models", "studies"])
def test_symlink_and_mapping_agree(name: str):
    link = ROOT / "bayescmp" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert SETUPTOOLS["package-dir"][f"bayescmp.{name}"] == name


def test_wheel_holds_one_top_level_package(wheel: set[str]):
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bayescmp"}


def test_wheel_holds_every_source_file_and_the_package_data(wheel: set[str]):
    expected = {"bayescmp/py.typed"}
    for package in SETUPTOOLS["packages"]:
        folder = ROOT / package.replace(".", "/")
        files = [*folder.glob("*.py"), *(folder.glob("*.html") if "report" in package else [])]
        expected |= {path.relative_to(ROOT).as_posix() for path in files}
    assert expected <= wheel
    assert any(name.endswith(".html") for name in wheel)


def test_constraints_name_no_address():
    assert not re.search(r"://|--index|--extra-index|--find-links|@ ", CONSTRAINTS)


def test_every_constraint_has_a_hash():
    entries = re.split(r"\n(?=\S)", CONSTRAINTS)
    pinned = [entry for entry in entries if "==" in entry.splitlines()[0]]
    assert len(pinned) > 50
    assert [entry.splitlines()[0] for entry in pinned if "--hash=sha256:" not in entry] == []


def test_constraints_satisfy_what_the_project_asks_for():
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", CONSTRAINTS, re.M):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    groups = PYPROJECT["dependency-groups"]
    own = [entry for entry in groups["dev"] if isinstance(entry, str)]  # the rest are groups
    for text in PYPROJECT["project"]["dependencies"] + own + groups["docs"]:
        requirement = Requirement(text)
        versions = pins.get(canonicalize_name(requirement.name), set())
        assert versions, f"{text} has no pin; remake .ci/constraints.txt"
        assert all(requirement.specifier.contains(version) for version in versions), text


def test_python_version_is_allowed():
    pinned = (ROOT / ".python-version").read_text().strip()
    allowed = Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    assert allowed.contains(pinned)
    assert allowed.contains(default_environment()["python_full_version"])


def test_citation_states_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text()
    version = PYPROJECT["project"]["version"]
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.M)
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
