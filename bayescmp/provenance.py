"""Where results come from: package versions, git revision, devices."""

import importlib.metadata
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("bayescmp", "jax", "jaxlib", "numpyro", "equinox", "optax", "numpy", "xarray")
"""Distributions whose versions are kept with the results."""


def package_version() -> str:
    """Return the version of the installed package, or ``"unknown"`` where it is not installed."""
    return package_versions().get("bayescmp", "unknown")


def package_versions() -> Mapping[str, str]:
    """Return the version of Python and of every installed package that shapes a result.

    Returns:
        Version by distribution name.

    Example:
        >>> "jax" in package_versions()
        True
    """
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def find_git_revision(source: Path) -> str:
    """Return the git revision that a tracked source file belongs to.

    Args:
        source: A source file.

    Returns:
        The commit, with ``-dirty`` behind it where the checkout has other content;
        ``"unknown"`` where the file is in no repository or git is absent.

    Example:
        >>> find_git_revision(Path("/nowhere/study.py"))
        'unknown'
    """
    source = source.resolve()
    tracked = _git(source.parent, "ls-files", "--error-unmatch", source.name)
    commit = _git(source.parent, "rev-parse", "HEAD")
    if not tracked or not commit:
        return "unknown"
    changes = _git(source.parent, "status", "--porcelain", "--untracked-files=no")
    return commit if changes == "" else f"{commit}-dirty"


def describe_devices() -> str:
    """Return the devices that JAX computes on, with their number and kind.

    Returns:
        A text such as ``"2 x cpu"`` or ``"1 x NVIDIA H100"``.

    Example:
        >>> " x " in describe_devices()
        True
    """
    import jax

    kinds = Counter(device.device_kind for device in jax.devices())
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git in a folder; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
