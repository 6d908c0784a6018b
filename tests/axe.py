"""The checker axe-core, which is not part of the project."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

AXE = "axe-core-4.14.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bayescmp-tests"
SERIOUS = """axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(
  found.violations.filter(one => ['serious', 'critical'].includes(one.impact)).map(
    one => ({rule: one.id, nodes: one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))}))))"""


def read_axe() -> str:
    """Find axe-core; fetch it where that was asked for."""
    path = CACHE / f"{AXE}.js"
    if not path.exists():
        if os.environ.get("BAYESCMP_FETCH_AXE") != "1":
            pytest.skip(f"needs axe-core: set BAYESCMP_FETCH_AXE=1 to fetch it to {path}")
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm to fetch axe-core")
        with tempfile.TemporaryDirectory() as folder:
            spec = AXE.replace("core-", "core@")
            subprocess.run([npm, "pack", "--silent", spec], cwd=folder, check=True, timeout=120)
            with tarfile.open(Path(folder) / f"{AXE}.tgz") as archive:
                script = archive.extractfile("package/axe.min.js")
                assert script is not None
                CACHE.mkdir(parents=True, exist_ok=True)
                path.write_bytes(script.read())
    return path.read_text(encoding="utf-8")
