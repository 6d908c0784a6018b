"""Which explanation is nearest to what a network does, and which mixture of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation, Subject, ask
from bayescmp.comparison.memory import take_evaluation
from bayescmp.comparison.mixing import mix
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.layers.lens import logit_lens
from bayescmp.measures.interval import Interval
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor

CHUNK = 256
"""Sequences that are traced in one call."""

EXACT_NAME = "exact"
"""What an oracle among the candidates is called."""


@dataclass(frozen=True)
class Explanation:
    """One law, a network's answer or a layer's, beside every candidate; in bits.

    Intervals are over sequences, for a mean over questions or at each position. The arrays
    in them have an axis ``candidate`` first, but for those of the mixture and the margin.
    """

    kl: Interval
    """``KL(candidate || law)``: what the law would lose if the candidate were right. For the
    exact candidate the primary measure, and the direction of ``/layers/rung_kl``."""
    kl_by_position: Interval
    reverse_kl: Interval
    """``KL(law || candidate)``: what the candidate fails to explain. Infinite where it
    excludes what the law allows. In this direction mixtures are fitted."""
    reverse_kl_by_position: Interval
    margin: Interval
    """``KL`` of the second nearest candidate minus that of the nearest, paired by sequence;
    NaN where there is one candidate."""
    weights: Float[np.ndarray, " candidate"]
    """Of the mixture that explains the law best; NaN where every one is infinitely far."""
    gap: float
    """The mixture's divergence is at most this much above the least possible."""
    residual_kl: Interval
    """``KL(law || mixture)``: what no mixture of the candidates explains."""
    residual_kl_by_position: Interval


@dataclass(frozen=True)
class WhichBayes:
    """A network beside rival explanations of it."""

    candidates: tuple[str, ...]
    """Their names."""
    output: Explanation
    """Of the network's answer."""
    layers: tuple[Explanation, ...]
    """Of the logit lens at the embedding and after each block; empty for networks that
    cannot be traced. A layer that computes in another basis than the read-out's looks
    farther away than it is."""
    about: str
    """Model and sequences, in words."""

    @property
    def nearest(self) -> str:
        """The candidate with the least ``KL(candidate || network)``."""
        return self._nearest(self.output)

    @property
    def is_clear(self) -> bool:
        """Whether the interval of its margin lies above zero."""
        return bool(self.output.margin.low > 0)

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the mixture that explains the network best, by name."""
        return dict(zip(self.candidates, self.output.weights.tolist(), strict=True))

    def __str__(self) -> str:
        """Return a table for people."""
        width = max(len("candidate"), *(len(name) for name in self.candidates))
        out = self.output
        lines = [
            f"{self.about}; mean KL in bits [interval over sequences]",
            f"{'candidate':<{width}}  {'candidate || network':<29}  "
            f"{'network || candidate':<29}  weight",
        ]
        for i in np.argsort(out.kl.mean, kind="stable").tolist():
            kl, reverse = _entry(out.kl, i), _entry(out.reverse_kl, i)
            lines.append(
                f"{self.candidates[i]:<{width}}  {kl:<29}  {reverse:<29}  {out.weights[i]:.4f}"
            )
        doubt = len(self.candidates) > 1 and not self.is_clear
        lines.append(f"nearest: {self.nearest}{', not clearly' if doubt else ''}")
        lines.append(f"left by the best mixture: {_entry(out.residual_kl)}")
        for layer, explanation in enumerate(self.layers):
            where = "embedding" if layer == 0 else f"layer {layer}"
            best = int(np.argmin(explanation.kl.mean))
            lines.append(f"{where}: {self._nearest(explanation)} {_entry(explanation.kl, best)}")
        return "\n".join(lines)

    def to_dataset(self) -> xr.Dataset:
        """Return all numbers with named axes, in bits.

        Returns:
            Variables ``kl``, ``reverse_kl``, ``residual_kl``, with ``_low``, ``_high`` and
            ``_by_position``, and ``weight``; axes ``candidate``, ``position`` and, in
            variables that begin with ``layer_``, ``layer``.
        """
        data = dict(_variables(self.output))
        if self.layers:
            rows = [_variables(explanation) for explanation in self.layers]
            for name, (axes, _) in data.copy().items():
                stacked = np.stack([row[name][1] for row in rows])
                data[f"layer_{name}"] = (("layer", *axes), stacked)
        dataset = xr.Dataset(
            {name: (axes, values) for name, (axes, values) in data.items()},
            coords={"candidate": list(self.candidates)},
            attrs={"about": self.about, "nearest": self.nearest},
        )
        for name, variable in dataset.data_vars.items():
            is_weight = str(name).endswith("weight")
            variable.attrs["units"] = "1" if is_weight else "bit"
            variable.attrs["long_name"] = _long_name(str(name))
        return dataset

    def _nearest(self, explanation: Explanation) -> str:
        return self.candidates[int(np.argmin(explanation.kl.mean))]


def which_bayes(
    network: Subject,
    candidates: Sequence[AbstractPredictor | AbstractOracle],
    against: AbstractOracle | Evaluation,
    *,
    key: Key | None = None,
    num_sequences: int = 1_024,
    level: float = 0.95,
) -> WhichBayes:
    """Find the candidate that is nearest to a network, and the mixture that explains it best.

    Divergences run from each candidate to the network, as from the exact law to it, and
    the other way round. The mixture maximises its expected log score when outcomes follow
    the network's own answers; what it leaves, ``KL(network || mixture)``, is what none of
    the candidates explains. Where the network can be traced, all this is done for the
    logit lens at every layer too.

    Args:
        network: Network, or anything else that answers.
        candidates: Rungs of a ladder; an oracle among them is called "exact".
        against: Oracle of the model, or sequences that it has answered.
        key: Typed key of the sequences, with an oracle.
        num_sequences: How many sequences are drawn, with an oracle.
        level: Coverage of the intervals.

    Returns:
        The record; print it for a table.

    Raises:
        ValueError: If there is no candidate, two have one name, or an oracle comes without
            a key.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=6))
        >>> rungs = [oracle, *(bc.predictors.WindowPredictor(oracle, w) for w in (1, 2))]
        >>> found = which_bayes(rungs[1], rungs, oracle, key=jax.random.key(0), num_sequences=64)
        >>> found.nearest, round(found.weights["window 1"], 4)
        ('window 1', 1.0)
    """
    names = [EXACT_NAME if isinstance(c, AbstractOracle) else c.name for c in candidates]
    if not names:
        raise ValueError("candidates: expected at least one, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"candidates: expected different names, got {names}")
    evaluation = take_evaluation(against, num_sequences, key)
    log_laws = np.stack([ask(candidate, evaluation) for candidate in candidates])
    lenses = _lenses(network, evaluation) if isinstance(network, AbstractTracedNetwork) else []
    total = evaluation.log_p.shape[0]
    return WhichBayes(
        candidates=tuple(names),
        output=_explain(ask(network, evaluation), log_laws, evaluation, level),
        layers=tuple(_explain(lens, log_laws, evaluation, level) for lens in lenses),
        about=f"{evaluation.model.title()}, {total:,} sequences",
    )


def _explain(
    log_q: LogLaws, log_laws: np.ndarray, evaluation: Evaluation, level: float
) -> Explanation:
    """Hold one law against every candidate and against their best mixture."""
    counts, weights = evaluation.supervised, evaluation.weights
    rows = np.stack([_divergences(law, log_q, counts) for law in log_laws])
    reverse = np.stack([_divergences(log_q, law, counts) for law in log_laws])
    shares = np.broadcast_to(1.0 if weights is None else weights[:, None], counts.shape)[counts]
    found = mix(log_q[counts], log_laws[:, counts], shares / shares.sum())
    residual = _residual(log_q, log_laws, found.weights, counts)
    means = over_questions(rows, weights, level)
    order = np.argsort(means.mean, kind="stable")
    second = rows[order[1]] if len(order) > 1 else np.full_like(rows[0], np.nan)
    with np.errstate(invalid="ignore"):  # two that are infinitely far: no margin
        margin = over_questions(second - rows[order[0]], weights, level)
    return Explanation(
        kl=means,
        kl_by_position=over_sequences(rows, weights, level),
        reverse_kl=over_questions(reverse, weights, level),
        reverse_kl_by_position=over_sequences(reverse, weights, level),
        margin=margin,
        weights=found.weights,
        gap=found.gap * BITS,
        residual_kl=over_questions(residual, weights, level),
        residual_kl_by_position=over_sequences(residual, weights, level),
    )


def _residual(
    log_q: LogLaws, log_laws: np.ndarray, weights: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return KL from a law to the mixture at every question; infinite without a mixture."""
    if np.isnan(weights).any():
        return np.where(counts, np.inf, np.nan)
    with np.errstate(divide="ignore"):
        log_mixture = np.log(np.tensordot(weights, np.exp(log_laws), axes=1))
    return _divergences(log_q, log_mixture, counts)


def _divergences(log_p: LogLaws, log_q: LogLaws, counts: np.ndarray) -> np.ndarray:
    """Return KL(p || q) at every question in bits, NaN where it does not count."""
    with jax.enable_x64(True):
        rows = np.asarray(_kl(jnp.asarray(log_p), jnp.asarray(log_q))) * BITS
    return np.where(counts, rows, np.nan)


_kl = jax.jit(measures.kl)


def _lenses(network: AbstractTracedNetwork, evaluation: Evaluation) -> list[LogLaws]:
    """Return what each residual stream would answer, normalised in float64."""
    inputs, positions = evaluation.batch.inputs, jnp.asarray(evaluation.model.asked_positions)
    starts = range(0, inputs.shape[0], CHUNK)
    parts = [_lens(network, inputs[i : i + CHUNK], positions) for i in starts]
    lens = np.concatenate([np.asarray(part, np.float64) for part in parts], axis=1)
    return list(lens - np.logaddexp.reduce(lens, axis=-1, keepdims=True))


@eqx.filter_jit
def _lens(network: AbstractTracedNetwork, inputs: Array, positions: Array) -> Array:
    return logit_lens(network, network.trace_layers(inputs), positions)


def _variables(explanation: Explanation) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the numbers of one explanation with the names of their axes."""
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "weight": (("candidate",), explanation.weights)
    }
    for name, axes in (("kl", ("candidate",)), ("reverse_kl", ("candidate",)), ("residual_kl", ())):
        for suffix, further in (("", ()), ("_by_position", ("position",))):
            interval: Interval = getattr(explanation, name + suffix)
            for end, values in (("", "mean"), ("_low", "low"), ("_high", "high")):
                entry = np.asarray(getattr(interval, values))
                variables[name + suffix + end] = ((*axes, *further), entry)
    return variables


def _long_name(name: str) -> str:
    """Say what a variable is, for people and plots."""
    law = "lens" if name.startswith("layer_") else "network"
    if name.endswith("weight"):
        return f"weight in the mixture that explains the {law} best"
    kind = name.removeprefix("layer_").split("kl")[0]
    pair = {"": ("candidate", law), "reverse_": (law, "candidate"), "residual_": (law, "mixture")}
    ends = {"low": ", lower end of its interval", "high": ", upper end of its interval"}
    return f"KL({' || '.join(pair[kind])}){ends.get(name.rsplit('_', 1)[-1], '')}"


def _entry(interval: Interval, index: int | None = None) -> str:
    """Write an interval, or one entry of it."""
    mean, low, high = (
        float(x if index is None else np.asarray(x)[index])
        for x in (interval.mean, interval.low, interval.high)
    )
    return f"{mean:.5f} [{low:.5f}, {high:.5f}]"
