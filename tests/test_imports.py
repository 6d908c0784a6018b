"""`import bayescmp` is cheap, and every public name is where the package says it is."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import bayescmp

ROOT = Path(__file__).parent.parent
HEAVY = ("arviz_base", "arviz_stats", "matplotlib", "numpyro", "pandas", "scipy", "xarray")


def fresh(code: str) -> dict:
    """Run code in a new interpreter and return the JSON object that it prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_import_is_light():
    seen = fresh(
        "import json, sys, bayescmp\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "import jax\n"
        "print(json.dumps({'heavy': heavy, 'arrays': len(jax.live_arrays())}))"
    )
    assert seen == {"heavy": [], "arrays": 0}


def test_training_does_without_what_only_results_need():
    needed = ("numpyro", "scipy")
    heavy = tuple(name for name in HEAVY if name not in needed)
    seen = fresh(
        "import json, sys, jax, bayescmp as bc\n"
        "bc.derive_oracle, bc.Transformer, bc.Interventions, bc.AdamW, bc.fit\n"
        f"heavy = [m for m in {heavy!r} if m in sys.modules]\n"
        "print(json.dumps({'heavy': heavy, 'arrays': len(jax.live_arrays())}))"
    )
    assert seen == {"heavy": [], "arrays": 0}


def test_every_module_imports_and_none_hides_a_public_name():
    names = [
        module.name
        for module in pkgutil.walk_packages(bayescmp.__path__, "bayescmp.")
        if not module.name.endswith("__main__")
    ]
    assert "bayescmp.models.bijection" in names
    seen = fresh(
        "import importlib, json, types, jax, bayescmp\n"
        "import blackjax.smc.base\n"  # makes an array of its own
        "others = len(jax.live_arrays())\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "hidden = [n for n in bayescmp._HOMES"
        " if isinstance(getattr(bayescmp, n), types.ModuleType)]\n"
        "print(json.dumps({'hidden': hidden, 'arrays': len(jax.live_arrays()) - others}))"
    )
    assert seen == {"hidden": [], "arrays": 0}


@pytest.mark.parametrize("name", bayescmp.__all__)
def test_public_name_resolves_and_is_documented(name: str):
    value = getattr(bayescmp, name)
    if name == "__version__":
        assert value[0].isdigit()
    elif name != "Key":  # a union of types has no place for one
        assert value.__doc__, f"{name} has no docstring"
    assert isinstance(value, ModuleType) == (name in bayescmp._SUBMODULES)


def test_public_names_are_written_alike_in_their_three_places():
    tree = ast.parse((ROOT / "bayescmp" / "__init__.py").read_text())
    for_editors = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bayescmp")
        for alias in node.names
    }
    homes = bayescmp._HOMES | dict.fromkeys(bayescmp._SUBMODULES, "bayescmp")
    assert for_editors == homes
    assert sorted([*homes, "__version__"]) == sorted(bayescmp.__all__)
    assert dir(bayescmp) == sorted(bayescmp.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'transfomer'"):
        _ = bayescmp.transfomer
