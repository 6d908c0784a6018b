"""Lenses: what every place of the residual stream would answer, against exact Bayes and rivals."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import ask
from bayescmp.comparison.tally import LogLaws
from bayescmp.inspection.effect import LEVEL, Effect
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.lens_distances import Distances, Rivals, mean_kl, measure_distances
from bayescmp.inspection.lens_fitting import (
    Plan,
    fit_bayes_lenses,
    fit_tuned_lenses,
    most_questions,
    plan_fitting,
    read_bayes_lens,
    read_out,
)
from bayescmp.inspection.lens_record import LENSES, Lenses
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.results.tree import make_dataset

NUM_DRAWS = 6
"""Networks with fresh initial weights that are the Bayes lens's control."""


def read_lenses(
    recording: Recording,
    *,
    key: Key,
    rung_laws: Mapping[str, LogLaws] | None = None,
    num_draws: int = NUM_DRAWS,
) -> Lenses:
    """Look at every place of a residual stream through the logit, tuned and Bayes lens.

    The logit lens is the network's own read-out. The tuned lens puts an affine map before it,
    fitted to the network's own answers; the Bayes lens is a softmax regression on the normalised
    stream, fitted to the exact predictive. Fits stand on one half of drawn sequences, and all
    lenses are judged on the other.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of what is drawn: questions to fit to, networks with initial weights.
        rung_laws: Log probabilities of each rival on the sequences of the recording; those of
            the standard ladder by default.
        num_draws: Networks with initial weights, at least three, or none to do without them.

    Returns:
        What was seen.

    Raises:
        ValueError: If there are one or two draws, or too few sequences.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> lenses = read_lenses(seen, key=jax.random.key(2), num_draws=0)
        >>> lenses.stream_names[0], bool(lenses.bayes_kl[-1] < lenses.constant_kl)
        ('embedding', True)
    """
    if num_draws in (1, 2) or num_draws < 0:
        raise ValueError(f"num_draws: expected none or at least 3, got {num_draws}")
    plan_key, tuned_key, rung_key, draw_key = jax.random.split(key, 4)
    laws = ladder_laws(recording, key=rung_key) if rung_laws is None else rung_laws
    part, judged = recording.split()
    most_bayes, most_tuned = most_questions(part)
    plan = plan_fitting(part, most_bayes, key=plan_key)
    tuned_plan = plan_fitting(part, most_tuned, key=tuned_key)
    distances, penalty = _look(part, judged, _rivals(judged, laws), (plan, tuned_plan))
    return Lenses(
        stream_names=recording.stream_names,
        rungs=tuple(laws),
        distances=distances,
        penalty=penalty,
        constant_kl=mean_kl(judged, _mean_law(part, judged)),
        control_kl=_control(recording, plan, num_draws, draw_key),
        fitting=_describe(judged, plan, tuned_plan),
    )


def ladder_laws(recording: Recording, *, key: Key) -> dict[str, LogLaws]:
    """Ask every rung of the standard ladder about the sequences of a recording.

    Args:
        recording: Recording of any network.
        key: Typed key of the sequences over which fixed laws are means.

    Returns:
        Log probabilities by name, in nats.
    """
    ladder = standard_ladder(recording.oracle, key=key)
    return {rung.name: ask(rung, recording.evaluation) for rung in ladder}


def _rivals(judged: Recording, laws: Mapping[str, LogLaws]) -> Rivals:
    """Stack the laws that lenses are held against, on the sequences that are judged."""
    own = judged.streams.shape[1]
    parts = (judged.evaluation.log_p, judged.log_q, *(law[-own:] for law in laws.values()))
    return Rivals(tuple(laws), np.stack(parts))


def _look(
    part: Recording, judged: Recording, rivals: Rivals, plans: tuple[Plan, Plan]
) -> tuple[tuple[tuple[Distances, ...], ...], Float[np.ndarray, "lens stream"]]:
    """Fit on one part, and measure every lens at every place of the other."""
    bayes, tuned = fit_bayes_lenses(part, plans[0]), fit_tuned_lenses(part, plans[1])
    streams = judged.streams
    answers = (
        (read_out(judged, stream) for stream in streams),
        (read_out(judged, lens.move(s)) for lens, s in zip(tuned, streams, strict=True)),
        (read_bayes_lens(judged, lens, place) for place, lens in enumerate(bayes)),
    )
    penalties = [[np.nan for _ in bayes], *([one.penalty for one in row] for row in (tuned, bayes))]
    distances = (tuple(measure_distances(judged, rivals, one) for one in row) for row in answers)
    return tuple(distances), np.array(penalties)


def _mean_law(part: Recording, judged: Recording) -> LogLaws:
    """Return the mean of the exact predictive as an answer to every question."""
    mean = part.row_weights @ np.exp(part.rows(part.evaluation.log_p))
    with np.errstate(divide="ignore"):  # what is never possible
        return np.broadcast_to(np.log(mean), judged.log_q.shape)


def _control(
    recording: Recording, plan: Plan, num_draws: int, key: Key
) -> Float[np.ndarray, "draw stream"]:
    """Fit and judge the Bayes lens of networks with initial weights, in the same way."""
    rows = []
    for network in draw_initial(recording.network, num_draws, key=key):
        part, judged = record_on(network, recording.evaluation, recording.belief).split()
        lenses = fit_bayes_lenses(part, plan)
        answers = (read_bayes_lens(judged, lens, place) for place, lens in enumerate(lenses))
        rows.append([mean_kl(judged, one) for one in answers])
    return np.array(rows).reshape(-1, len(recording.streams))


def _describe(judged: Recording, plan: Plan, tuned_plan: Plan) -> str:
    """Say which questions lenses were fitted to and judged on."""
    num = f"{plan.fitting.rows.size:,} (Bayes) and {tuned_plan.fitting.rows.size:,} (tuned)"
    judging = f"judged on {judged.row_weights.size:,}"
    if judged.is_exhaustive:
        return f"fitted to {num} questions and {judging}, which are all, weighted exactly"
    return f"fitted to {num} questions and {judging} of other sequences"


def lenses_group(results: Sequence[Lenses]) -> xr.Dataset:
    """Gather what lenses saw of some networks.

    Args:
        results: One for each seed, of networks of the same depth, beside the same rivals.

    Returns:
        The group ``/lenses``; without a control where any network has none.
    """
    first = results[0]
    mean, by_position = (
        np.stack([np.moveaxis(one.stack(name), 2, 0) for one in results], axis=1)
        for name in ("mean", "by_position")
    )
    arrays: dict[str, object] = {
        "kl": by_position[0],
        "kl_to_output": by_position[1],
        "rung_kl": np.moveaxis(by_position[2:], 0, 2),
        "mean_kl": mean[0],
        "mean_kl_low": np.stack([one.stack("low")[..., 0] for one in results]),
        "mean_kl_high": np.stack([one.stack("high")[..., 0] for one in results]),
        "mean_kl_to_output": mean[1],
        "mean_rung_kl": np.moveaxis(mean[2:], 0, 2),
        "nearest": np.stack([one.names("nearest") for one in results]),
        "tied": np.stack([one.names("tied") for one in results]),
        "penalty": np.stack([one.penalty for one in results]),
        "constant_kl": np.array([one.constant_kl for one in results]),
    }
    if all(len(one.control_kl) for one in results):
        arrays["control_kl"] = np.stack([one.control_kl for one in results])
        arrays["rises"] = np.stack([_named(one, one.effects()) for one in results])
        arrays["decodable"] = np.stack([_named(one, one.decodable()) for one in results])
    coords = {"lens": LENSES, "stream": first.stream_names, "rung": first.rungs}
    return make_dataset("/lenses", arrays, coords, {"fitting": first.fitting, "level": LEVEL})


def _named(lenses: Lenses, effects: Sequence[Effect]) -> Bool[np.ndarray, " stream"]:
    """Say of each place whether it is among some effects."""
    found = {effect.where for effect in effects}
    return np.array([name in found for name in lenses.stream_names])
