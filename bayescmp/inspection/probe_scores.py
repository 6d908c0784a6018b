"""How well affine read-outs do: fitted on some sequences, judged on others."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Num

from bayescmp.inspection.probe_targets import ProbeTarget, build_targets
from bayescmp.inspection.recording import Recording
from bayescmp.layers.decoding import decode_law, kl_rows
from bayescmp.layers.moments import CHUNK, Moments, gather_moments
from bayescmp.layers.ridge import AffineMap, ReadOut, fit_ridge

LEAST_SEQUENCES = 8
"""Drawn sequences below which nothing is left to choose a penalty and to judge on."""

MOST_DECODED = 2**19
"""Probabilities that are decoded at most for one divergence, where sequences are drawn."""


@dataclass(frozen=True)
class Examples:
    """What probes are fitted to and judged on, one row for each question that counts."""

    targets: tuple[ProbeTarget, ...]
    values: Float[np.ndarray, "row column"]
    """All targets side by side."""
    weights: Float[np.ndarray, " row"]
    positions: Int[np.ndarray, " row"]
    sequences: Int[np.ndarray, " row"]
    """Number of the sequence of each row, never falling."""
    train: slice
    validate: slice | None
    """Rows on which penalties are chosen; None where every sequence is listed."""
    judge: slice

    @property
    def columns(self) -> tuple[slice, ...]:
        """Columns of each target."""
        ends = np.cumsum([target.num_columns for target in self.targets]).tolist()
        return tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True))

    @property
    def num_fitted(self) -> int:
        """How many rows probes are fitted to."""
        return self.judge.stop if self.validate is None else self.judge.start

    def decoded_rows(self, num_columns: int) -> slice:
        """Return the rows whose laws are decoded: whole sequences of those that are judged.

        Args:
            num_columns: Probabilities of each row.
        """
        last = self.judge.start + max(1, MOST_DECODED // num_columns)
        if self.validate is None or last >= self.judge.stop:
            return self.judge
        end = int(np.searchsorted(self.sequences, self.sequences[last]))
        return slice(self.judge.start, end) if end > self.judge.start else self.judge


@dataclass(frozen=True)
class Design:
    """Features of each row, with the moments of the rows that are fitted to and judged."""

    features: Num[np.ndarray, "row feature"]
    train: Moments
    validate: Moments | None
    judge: Moments

    def take(self, part: slice) -> "Design":
        """Keep some of the features."""
        train, judge = self.train.take(part), self.judge.take(part)
        validate = None if self.validate is None else self.validate.take(part)
        return Design(self.features[:, part], train, validate, judge)

    def project(
        self, basis: Float[np.ndarray, "feature direction"], columns: slice
    ) -> tuple[Moments, Moments | None]:
        """Return what one target is fitted to in a subspace.

        Args:
            basis: Directions of the subspace.
            columns: Columns of the target.

        Returns:
            Moments to fit to, and to choose a penalty on.
        """
        train = self.train.take(columns=columns).project(basis)
        if self.validate is None:
            return train, None
        return train, self.validate.take(columns=columns).project(basis)


@dataclass(frozen=True)
class Score:
    """How well one target is read from one design."""

    r_squared: float
    """NaN where the target does not vary."""
    kl: float
    """Mean divergence of decoded laws, in nats; NaN where the target is no law."""
    read_out: ReadOut


def arrange(recording: Recording) -> Examples:
    """Lay out the targets, and the rows to fit and to judge on.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Where every sequence is listed, all rows for both, weighted by probability. Of drawn
        sequences three eighths to fit on, one to choose penalties on and half to judge on.

    Raises:
        ValueError: If fewer than eight sequences were drawn.
    """
    targets = build_targets(recording)
    sequences, positions = np.nonzero(recording.counts)
    num, everything = len(recording.counts), slice(0, len(sequences))
    train, validate, judged = everything, None, everything
    if not recording.is_exhaustive:
        if num < LEAST_SEQUENCES:
            raise ValueError(f"recording: expected at least {LEAST_SEQUENCES} sequences, got {num}")
        starts = np.searchsorted(sequences, [0, 3 * num // 8, num // 2, num]).tolist()
        train, validate, judged = (slice(a, b) for a, b in pairwise(starts))
    varying = tuple(t for t in targets if np.ptp(t.values[judged], axis=0).any())
    values = np.concatenate([target.values for target in varying], axis=1)
    weights = recording.row_weights
    return Examples(varying, values, weights, positions, sequences, train, validate, judged)


def design(features: Num[np.ndarray, "row feature"], examples: Examples) -> Design:
    """Sum up features and targets once, for all read-outs from them.

    Args:
        features: Features of each row.
        examples: Targets, and which rows are for what.

    Returns:
        The design.
    """

    def gather(rows: slice) -> Moments:
        return gather_moments(features[rows], examples.values[rows], examples.weights[rows])

    train = gather(examples.train)
    if examples.validate is None:
        return Design(features, train, None, train)
    return Design(features, train, gather(examples.validate), gather(examples.judge))


def score(found: Design, examples: Examples) -> tuple[Score, ...]:
    """Fit a read-out of each target and judge it.

    Args:
        found: Features and moments.
        examples: Targets, and which rows are for what.

    Returns:
        One score for each target.
    """
    read_outs = fit_ridge(found.train, found.validate, examples.columns)
    return tuple(
        judge(read_out, found, examples, index) for index, read_out in enumerate(read_outs)
    )


def judge(read_out: ReadOut, found: Design, examples: Examples, index: int) -> Score:
    """Judge the read-out of one target.

    Args:
        read_out: Read-out from the design's features.
        found: Features and moments.
        examples: Targets, and which rows are for what.
        index: Which target.

    Returns:
        Its score.
    """
    moments = found.judge.take(columns=examples.columns[index])
    varies = moments.squares.sum() > 0.0
    share = read_out.affine.share_explained(moments) if varies else np.nan
    if examples.targets[index].law_size is None:
        return Score(share, np.nan, read_out)
    rows = examples.decoded_rows(examples.targets[index].num_columns)
    weights = examples.weights[rows]
    kl = decoded_kl(read_out.affine, found.features, examples, index)
    return Score(share, float(weights @ kl / weights.sum()), read_out)


def decoded_kl(
    affine: AffineMap, features: Num[np.ndarray, "row feature"], examples: Examples, index: int
) -> Float[np.ndarray, " decoded"]:
    """Return KL from each exact law to what is decoded, in nats; the mean over a row's laws.

    Args:
        affine: Read-out.
        features: Features of each row.
        examples: Targets, and which rows are for what.
        index: Which target; its columns are laws.

    Returns:
        One divergence for each row that is decoded.
    """
    target, columns = examples.targets[index], examples.columns[index]
    rows, laws = examples.decoded_rows(target.num_columns), (-1, target.law_size or 1)
    parts = []
    for start in range(rows.start, rows.stop, CHUNK):
        cut = slice(start, min(start + CHUNK, rows.stop))
        exact = examples.values[cut, columns].reshape(cut.stop - start, *laws)
        decoded = decode_law(affine(features[cut]).reshape(exact.shape))
        parts.append(kl_rows(exact, decoded).mean(axis=-1))
    return np.concatenate(parts)
