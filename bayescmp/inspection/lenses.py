"""Lenses: what every place of the residual stream would answer, against exact Bayes and rivals."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import ask
from bayescmp.comparison.tally import LogLaws
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
from bayescmp.inspection.lens_heads import NUM_DRAWS as NUM_HEAD_DRAWS
from bayescmp.inspection.lens_heads import read_heads, read_untrained_heads
from bayescmp.inspection.lens_record import Lenses, Untrained
from bayescmp.inspection.lens_tables import lenses_group as lenses_group
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.predictors.ladder import standard_ladder

NUM_DRAWS = 6
"""Networks with fresh initial weights that are the Bayes lens's control."""


def read_lenses(
    recording: Recording,
    *,
    key: Key,
    rung_laws: Mapping[str, LogLaws] | None = None,
    num_draws: int = NUM_DRAWS,
    untrained: Untrained | None = None,
) -> Lenses:
    """Look at every place of a residual stream through the logit, tuned and Bayes lens.

    The logit lens is the network's own read-out. The tuned lens puts an affine map before it,
    fitted to the network's own answers; the Bayes lens is a softmax regression on the normalised
    stream, fitted to the exact predictive, and on what each attention head writes by itself. Fits
    stand on one half of drawn sequences, and all lenses are judged on the other.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of what is drawn: questions to fit to, networks with initial weights.
        rung_laws: Log probabilities of each rival on the sequences of the recording; those of
            the standard ladder by default.
        num_draws: Networks with initial weights, at least three, or none to do without them.
        untrained: What :func:`read_untrained` found for networks of this shape on these
            sequences with this key, where it is known already.

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
    if untrained is None:
        untrained = read_untrained(recording, key=key, num_draws=num_draws)
    _, rung_key, _, head_key = _split(key)
    laws = ladder_laws(recording, key=rung_key) if rung_laws is None else rung_laws
    part, judged = recording.split()
    plans = _plan(part, key=key)
    distances, penalty = _look(part, judged, _rivals(judged, laws), plans)
    return Lenses(
        stream_names=recording.stream_names,
        rungs=tuple(laws),
        distances=distances,
        penalty=penalty,
        constant_kl=mean_kl(judged, _mean_law(part, judged)),
        head_names=recording.head_names,
        head_kl=read_heads(recording, key=head_key),
        untrained=untrained,
        fitting=_describe(judged, *plans),
    )


def read_untrained(recording: Recording, *, key: Key, num_draws: int = NUM_DRAWS) -> Untrained:
    """Fit and judge the Bayes lens of networks with initial weights, in the same way.

    Seeds of one configuration that see the same sequences may share these networks: each is then
    held against as many draws, and only statements on different seeds depend on each other.

    Args:
        recording: A network on held-out sequences.
        key: Typed key, the same as for :func:`read_lenses`.
        num_draws: Networks with initial weights, at least three, or none.

    Returns:
        What was read in them.

    Raises:
        ValueError: If there are one or two draws.
    """
    if num_draws in (1, 2) or num_draws < 0:
        raise ValueError(f"num_draws: expected none or at least 3, got {num_draws}")
    _, _, draw_key, head_key = _split(key)
    plan, _ = _plan(recording.split()[0], key=key)
    rows = []
    for network in draw_initial(recording.network, num_draws, key=draw_key):
        part, judged = record_on(network, recording.evaluation, recording.belief).split()
        lenses = fit_bayes_lenses(part, plan)
        answers = (read_bayes_lens(judged, lens, place) for place, lens in enumerate(lenses))
        rows.append([mean_kl(judged, one) for one in answers])
    num = NUM_HEAD_DRAWS if rows else 0
    return Untrained(
        np.array(rows).reshape(-1, len(recording.streams)),
        read_untrained_heads(recording, num, key=head_key),
    )


def _split(key: Key) -> tuple[Key, Key, Key, Key]:
    """Return keys of the questions, of the rivals, of initial weights and of heads."""
    plan, rungs, draws, heads = jax.random.split(key, 4)
    return plan, rungs, draws, heads


def _plan(part: Recording, *, key: Key) -> tuple[Plan, Plan]:
    """Choose the questions that Bayes lenses and tuned lenses are fitted to."""
    keys = jax.random.split(_split(key)[0])
    bayes, tuned = (
        plan_fitting(part, most, key=one)
        for most, one in zip(most_questions(part), keys, strict=True)
    )
    return bayes, tuned


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


def _describe(judged: Recording, plan: Plan, tuned_plan: Plan) -> str:
    """Say which questions lenses were fitted to and judged on."""
    num = f"{plan.fitting.rows.size:,} (Bayes) and {tuned_plan.fitting.rows.size:,} (tuned)"
    judging = f"judged on {judged.row_weights.size:,}"
    if judged.is_exhaustive:
        return f"fitted to {num} questions and {judging}, which are all, weighted exactly"
    return f"fitted to {num} questions and {judging} of other sequences"
