"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest
from synthetic_tree import synthetic_tree

import bayescmp

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(bayescmp.__path__, "bayescmp.")
    if ">>>" in (importlib.util.find_spec(info.name).loader.get_source(info.name) or "")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, optionflags=options, extraglobs=_names())
    assert result.attempted > 0
    assert result.failed == 0


def _names() -> dict[str, object]:
    """Names that examples use without importing them, as a reader at a prompt would have."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import bayescmp as bc

    return {"jax": jax, "jnp": jnp, "np": np, "bc": bc, "tree": synthetic_tree()}
