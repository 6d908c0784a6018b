"""The README's Python runs, with fewer steps."""

import re
from pathlib import Path

import pytest
import xarray as xr

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    code = "\n".join(blocks)
    assert "steps=2_000" in code, "the README trains for another number of steps now"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code.replace("steps=2_000", "steps=2"), str(README), "exec"), names)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert isinstance(names["tree"], xr.DataTree)
    assert getattr(names["model"], "length", None) == 32
