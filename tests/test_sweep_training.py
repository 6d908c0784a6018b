"""Seeds that are trained in cells of their own equal the seeds of one run."""

from pathlib import Path

import jax
import numpy as np
import pytest

from bayescmp.running import run_study
from bayescmp.study import load_study
from bayescmp.sweep.sweeping import run_sweep

STUDY = '''"""Does a network of one layer learn a coin in a few steps?"""

from dataclasses import dataclass

import bayescmp as bc


@dataclass(frozen=True)
class Config:
    seeds: int = 2


PRESETS = {"default": Config()}
CLAIMS = (bc.Claim("KL is below 1 bit", "/divergence/mean_kl", 1.0, "below", min_seeds=2),)


def run(config, *, key, workspace):
    network = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=8, mlp_size=16)
    return bc.train_and_compare(
        bc.models.beta_bernoulli(length=4),
        network,
        bc.Training(num_steps=8, batch_size=8),
        seeds=config.seeds,
        key=key,
        workspace=workspace,
    )
'''


@pytest.mark.slow
def test_seeds_trained_apart_equal_seeds_trained_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "bayescmp.running.write_report", lambda tree, path: path.write_text("report")
    )
    (tmp_path / "coin_study.py").write_text(STUDY)
    study = load_study(tmp_path / "coin_study.py")
    config = study.presets["default"]
    apart = run_sweep(study, {"coin": config}, seeds=2, out=tmp_path / "out", progress=False)
    assert apart.complete, apart.failed
    together = run_study(study, config=config, key=jax.random.key(0))
    merged = apart.trees["coin"]
    for path in ("/divergence", "/network", "/training", "/ladder"):
        for name, variable in together[path].to_dataset().data_vars.items():
            # Eight steps in 32 bits: sums in another order differ by 1e-7 of about one nat,
            # and each step multiplies the difference by less than two, 2^8 * 1e-7 < 1e-4.
            np.testing.assert_allclose(
                merged[f"{path}/{name}"].values, variable.values, rtol=1e-4, atol=1e-4
            )
    assert merged["claims/verdict"].values.tolist() == together["claims/verdict"].values.tolist()
