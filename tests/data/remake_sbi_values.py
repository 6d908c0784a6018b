"""Remake sbi_values.json: TARP and L-C2ST of one small case by sbi itself.

Needs sbi 0.27 and torch, which the project does without:

    uv run --no-project --python 3.11 --with sbi==0.27.0 python tests/data/remake_sbi_values.py

The case is that of tests/sbi_case.py: 120 observations of a parameter of two coordinates, whose
judged posterior is too narrow and shifted. sbi's own defaults are changed where they choose
something at random or by a network: references are given, and the classifier of L-C2ST is a
logistic regression on the same features.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sbi.diagnostics.lc2st import LC2ST
from sbi.diagnostics.tarp import _run_tarp, check_tarp
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent.parent))

from sbi_case import NUM_PLACE_DRAWS, PLACES, make_case

NUM_BINS = 10


def products(rows: np.ndarray) -> np.ndarray:
    """Return coordinates and all products of two."""
    pairs = [rows[..., i] * rows[..., j] for i in range(4) for j in range(i, 4)]
    return np.concatenate([rows, np.stack(pairs, axis=-1)], axis=-1)


def make_features(case: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised features of true pairs, drawn pairs, and draws at the places."""
    truth, drawn = (
        np.concatenate([one, case["observed"]], axis=1)
        for one in (case["truth"], case["draws"][:, 0])
    )
    repeated = np.broadcast_to(case["places"][:, None], (PLACES, NUM_PLACE_DRAWS, 2))
    at = np.concatenate([case["place_draws"], repeated], axis=-1)
    both = np.concatenate([truth, drawn])
    centre, spread = both.mean(axis=0), both.std(axis=0)
    parts = [products((one - centre) / spread) for one in (truth, drawn, at)]
    both = np.concatenate(parts[:2])
    mean, deviation = both.mean(axis=0), both.std(axis=0)
    first, second, third = ((one - mean) / deviation for one in parts)
    return first, second, third


def tarp_values(case: dict[str, np.ndarray]) -> dict[str, object]:
    """Ask sbi for its TARP curve; coordinates are scaled beforehand by the draws' deviation."""
    scale = case["draws"].std(axis=(0, 1))
    draws, truth, references = (
        torch.tensor(case[name] / scale) for name in ("draws", "truth", "references")
    )
    ecp, alpha = _run_tarp(draws.transpose(0, 1), truth, references, num_bins=NUM_BINS)
    area, _ = check_tarp(ecp, alpha)
    return {"ecp": ecp.tolist(), "alpha": alpha.tolist(), "area_to_curve": area}


def lc2st_values(case: dict[str, np.ndarray]) -> list[float]:
    """Ask sbi for the statistic of L-C2ST at each place.

    Features stand in the place of parameters. The observation, which they hold already, is a zero.
    """
    truth, drawn, at = make_features(case)
    nothing = torch.zeros((len(truth), 1))
    test = LC2ST(
        prior_samples=torch.tensor(truth),
        xs=nothing,
        posterior_samples=torch.tensor(drawn),
        classifier=LogisticRegression,
        classifier_kwargs={"C": 1.0, "tol": 1e-12, "max_iter": 10_000},
        num_trials_null=2,
    )
    test.train_on_observed_data()
    values = [test.get_statistic_on_observed_data(torch.tensor(one), torch.zeros(1)) for one in at]
    return [float(value) for value in values]


if __name__ == "__main__":
    made = make_case()
    values = {"sbi": "0.27.0", "tarp": tarp_values(made), "lc2st": lc2st_values(made)}
    Path(__file__).with_name("sbi_values.json").write_text(json.dumps(values, indent=1) + "\n")
