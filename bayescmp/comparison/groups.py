"""The groups of the results, each built from what a comparison computed."""

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp import measures
from bayescmp.comparison.evaluation import Evaluation, Subject
from bayescmp.comparison.inside import InsideView
from bayescmp.comparison.tally import AVERAGED, BITS, LogLaws, Measured
from bayescmp.networks.network import count_parameters
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.results.tree import make_dataset
from bayescmp.training.loop import Fit
from bayescmp.training.optimisers import rate

MAX_STEPS_KEPT = 500
"""Points of the training curve that are stored."""

_PER_SEED = ("predicted", "observed", "observed_low", "observed_high", "exact", "count")


def observed_group(examples: Evaluation) -> xr.Dataset:
    """Keep a few sequences as examples.

    Args:
        examples: The sequences.

    Returns:
        The group ``/observed_data``.
    """
    batch, layout = examples.batch, examples.model.layout
    sites = examples.model.engine_sites(batch)
    texts = [
        layout.describe({name: np.asarray(value[row]) for name, value in sites.items()})
        for row in range(batch.outcomes.shape[0])
    ]
    return make_dataset(
        "/observed_data", {"outcome_value": batch.outcomes, "shown_text": np.array(texts)}
    )


def oracle_group(examples: Evaluation, exact_entropy: Float[np.ndarray, " position"]) -> xr.Dataset:
    """Describe the oracle and its answers to the example sequences.

    Args:
        examples: The example sequences and their exact answers.
        exact_entropy: Mean entropy of the exact predictive over all sequences, in bits.

    Returns:
        The group ``/oracle``.
    """
    certificate = examples.oracle.certificate.to_json()
    certificate["error_nat"] = certificate.pop("error")
    return make_dataset(
        "/oracle",
        {"entropy": exact_entropy, "log_predictive": examples.log_p},
        attrs={"certificate": certificate},
    )


def network_group(
    subject: Subject, example_laws: list[LogLaws], measured: list[Measured]
) -> xr.Dataset:
    """Describe what was compared, and its own answers to the example sequences.

    Args:
        subject: The first of the subjects, for its name and sizes.
        example_laws: Log probabilities of each subject, in nats.
        measured: Measures of each subject.

    Returns:
        The group ``/network``.
    """
    return make_dataset(
        "/network",
        {"entropy": [m.entropy for m in measured], "log_predictive": example_laws},
        attrs={
            "architecture": _architecture(subject),
            "num_parameters": 0
            if isinstance(subject, AbstractOracle)
            else count_parameters(subject),
        },
    )


def _architecture(subject: Subject) -> dict[str, object]:
    """Name what was compared, with its sizes where it has a configuration."""
    config = getattr(subject, "config", None)
    name = subject.name if isinstance(subject, AbstractPredictor) else type(subject).__name__
    sizes = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    return {"kind": name, **sizes}


def divergence_group(
    measured: list[Measured], supervised: Bool[np.ndarray, " position"]
) -> xr.Dataset:
    """Gather the subjects' measures.

    Args:
        measured: Measures of each subject.
        supervised: Which positions count in any sequence.

    Returns:
        The group ``/divergence``.
    """
    names = (
        *AVERAGED,
        "kl_standard_error",
        "entropy_gap_abs",
        "entropy_gap_of_means",
    )
    arrays = {name: np.stack([getattr(m, name) for m in measured]) for name in names}
    arrays |= {name: np.stack([m.means[name] for m in measured]) for name in measured[0].means}
    return make_dataset("/divergence", arrays | {"supervised": supervised})


def ladder_group(measured: dict[str, Measured], best_constant_entropy_mae: float) -> xr.Dataset:
    """Gather the rivals' measures.

    Args:
        measured: Measures of each rung, by name.
        best_constant_entropy_mae: Entropy error of the best single number, in bits.

    Returns:
        The group ``/ladder``.
    """
    rows = list(measured.values())
    names = ("kl", "total_variation", "impossible_mass", "argmax_agreement")
    arrays = {name: np.stack([getattr(m, name) for m in rows]) for name in names}
    arrays |= {name: np.stack([m.means[name] for m in rows]) for name in rows[0].means}
    return make_dataset(
        "/ladder",
        arrays,
        {"rung": list(measured)},
        {"best_constant_entropy_mae": best_constant_entropy_mae},
    )


def layers_group(
    views: list[InsideView],
    pattern: Float[np.ndarray, "layer head input_position source_position"] | None,
    rungs: list[str],
) -> xr.Dataset:
    """Gather what was seen inside the networks.

    Args:
        views: One view for each subject.
        pattern: Attention weights of the first subject on the first example, if it attends.
        rungs: Names of the rungs.

    Returns:
        The group ``/layers``.
    """
    arrays = {
        "kl": np.stack([view.kl for view in views]),
        "kl_to_output": np.stack([view.kl_to_output for view in views]),
        "rung_kl": np.stack([view.rung_kl for view in views], axis=-1),
    }
    entropies = [view.attention_entropy for view in views if view.attention_entropy is not None]
    if len(entropies) == len(views):
        arrays["attention_entropy"] = np.stack(entropies)
    if pattern is not None:
        arrays["attention_pattern"] = pattern
    return make_dataset("/layers", arrays, {"rung": rungs})


def calibration_group(tables: list[measures.Reliability]) -> xr.Dataset:
    """Gather the subjects' reliability.

    Args:
        tables: One for each subject, in 64 bits.

    Returns:
        The group ``/calibration``.
    """
    per_seed = [*_PER_SEED, *(["weight"] if tables[0].is_weighted else [])]
    with jax.enable_x64(True):
        arrays = {name: np.stack([getattr(t, name) for t in tables]) for name in per_seed}
        arrays |= {
            name: np.asarray(getattr(tables[0], name)) for name in ("edges_low", "edges_high")
        }
        arrays["ece"] = np.stack([measures.expected_calibration_error(t) for t in tables])
        arrays["exact_ece"] = np.stack([measures.exact_calibration_error(t) for t in tables])
    return make_dataset("/calibration", arrays, attrs={"level": tables[0].level})


def training_group(fits: Sequence[Fit]) -> xr.Dataset:
    """Say how the subjects were trained.

    Args:
        fits: One for each subject, with the same settings.

    Returns:
        The group ``/training``.
    """
    first, training = fits[0], fits[0].training
    num_steps = max(fit.num_steps for fit in fits)  # some may have ended early
    steps = np.unique(np.linspace(0, num_steps - 1, min(num_steps, MAX_STEPS_KEPT)).astype(int))
    schedule = rate(training.optimiser, training.num_steps)
    rates = [np.asarray(schedule(int(step))) for step in steps]
    optimiser = {"name": type(training.optimiser).__name__, **asdict(training.optimiser)}
    num_sequences = num_steps * training.batch_size
    return make_dataset(
        "/training",
        {
            "loss": np.stack([_pad(fit.loss, num_steps)[steps] for fit in fits]) * BITS,
            "excess": np.stack([_pad(fit.excess, num_steps)[steps] for fit in fits]) * BITS,
            "learning_rate": rates,
        },
        {"step": steps},
        {
            "objective": first.objective,
            "optimiser": optimiser,
            "batch_size": training.batch_size,
            "num_steps": num_steps,
            "num_sequences_seen": num_sequences,
            "num_tokens_seen": num_steps * first.tokens_per_step,
            "flops_per_step": first.flops_per_step,
            "flops_total": sum(fit.flops_per_step * fit.num_steps for fit in fits),
            "seconds": [fit.seconds for fit in fits],
            "devices": f"{first.num_devices} x {jax.local_devices()[0].device_kind}",
            "num_parameters": first.num_parameters,
        },
    )


def _pad(history: Float[np.ndarray, " done"], num_steps: int) -> Float[np.ndarray, " step"]:
    """Let NaN stand for the steps that a seed did not do."""
    return np.pad(history, (0, num_steps - len(history)), constant_values=np.nan)
