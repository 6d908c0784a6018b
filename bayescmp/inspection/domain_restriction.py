"""Domain restriction: do vectors of one family of sequences lie in fewer directions than of all?

Fewer sequences alone spread over fewer directions, so that the null is as many sequences drawn
from the mixture.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayescmp._types import Key
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.subset import make_generator
from bayescmp.layers.manifold import participation_ratio, principal_shares

NUM_DRAWS = 20
"""Random subsets of the mixture for each family."""

MOST_FAMILIES = 16
"""Values of a latent site above which it is not taken for a family."""


@dataclass(frozen=True)
class Domains:
    """How vectors of each family spread, beside random subsets of all of the same size."""

    site: str
    """Latent site that tells families apart, or what was compared."""
    names: tuple[str, ...]
    pc1: Float[np.ndarray, " family"]
    """Share of variance along the first component, within the family."""
    participation: Float[np.ndarray, " family"]
    """Participation ratio within the family."""
    pc1_random: Float[np.ndarray, "draw family"]
    """The same share on random subsets."""
    participation_random: Float[np.ndarray, "draw family"]


def find_families(recording: Recording) -> tuple[str, Int[np.ndarray, " sequence"]] | None:
    """Look for a latent site that has one of a few values for each whole sequence.

    Args:
        recording: Recording.

    Returns:
        Name of the first such site and its values; None where there is none, or one family
        holds fewer than four sequences.
    """
    for site, values in recording.evaluation.batch.latents.items():
        labels = np.asarray(values)
        if labels.ndim != 1 or labels.dtype.kind not in "iub":
            continue
        sizes = np.unique(labels, return_counts=True)[1]
        if 2 <= sizes.size <= MOST_FAMILIES and sizes.min() >= 4:
            return site, labels.astype(np.int64)
    return None


def restrict_domain(
    rows: Float[np.ndarray, "row feature"],
    sequence: Int[np.ndarray, " row"],
    family: Int[np.ndarray, " sequence"],
    weights: Float[np.ndarray, " row"],
    *,
    site: str = "family",
    key: Key,
) -> Domains:
    """Compare the spread of vectors within each family with that in random subsets of all.

    Args:
        rows: Vectors, in any unit.
        sequence: Sequence that each belongs to.
        family: Family of each sequence.
        weights: Weight of each row.
        site: What families are called.
        key: Typed key of the random subsets.

    Returns:
        Spread of each family, in the order of their numbers.

    Raises:
        ValueError: If there are fewer than two families.
    """
    labels = np.unique(family)
    if labels.size < 2:
        raise ValueError(f"family: expected at least 2 families, got {labels.size}")
    rng, num = make_generator(key), family.size
    own, random = [], []
    for label in labels:
        members = family == label
        own.append(_spread(rows, members[sequence], weights))
        subsets = (rng.permutation(num) < members.sum() for _ in range(NUM_DRAWS))
        random.append([_spread(rows, subset[sequence], weights) for subset in subsets])
    return _gather(site, tuple(str(label) for label in labels), own, random)


def compare_domains(
    mixed: Recording, restricted: Recording, *, stream: int = -1, key: Key
) -> Domains:
    """Compare a stream on restricted prompts with the same stream on mixed ones.

    Args:
        mixed: Recording on sequences of all kinds.
        restricted: Recording of the same network on sequences of one kind.
        stream: Place in the residual stream, from zero; the last by default.
        key: Typed key of the random subsets.

    Returns:
        One family, on at most half as many sequences as are mixed.

    Raises:
        ValueError: If the two recordings have streams of other shapes.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> mixed, other = (bc.inspection.record(network, oracle, key=jax.random.key(k),
        ...                 num_sequences=32) for k in (1, 2))
        >>> compare_domains(mixed, other, key=jax.random.key(3)).pc1_random.shape
        (20, 1)
    """
    if mixed.streams.shape[0::3] != restricted.streams.shape[0::3]:
        raise ValueError(
            "restricted: expected streams of the network in mixed, "
            f"{mixed.streams.shape[0::3]} (stream, feature), got {restricted.streams.shape[0::3]}"
        )
    rng, num_mixed = make_generator(key), mixed.streams.shape[1]
    num_restricted = restricted.streams.shape[1]
    num = min(num_restricted, num_mixed // 2)

    def draw(recording: Recording, rows: np.ndarray, num_all: int) -> tuple[float, float]:
        chosen = rng.permutation(num_all) < num
        return _spread(rows, chosen[row_sequences(recording)], recording.row_weights)

    own = draw(restricted, restricted.stream_rows(stream), num_restricted)
    rows = mixed.stream_rows(stream)
    random = [draw(mixed, rows, num_mixed) for _ in range(NUM_DRAWS)]
    return _gather("recording", ("restricted",), [own], [random])


def row_sequences(recording: Recording) -> Int[np.ndarray, " row"]:
    """Return the sequence that each question belongs to.

    Args:
        recording: Recording.

    Returns:
        Numbers from zero, in the order of ``Recording.rows``.
    """
    return np.nonzero(recording.counts)[0]


def _spread(
    rows: Float[np.ndarray, "row feature"],
    kept: np.ndarray,
    weights: Float[np.ndarray, " row"],
) -> tuple[float, float]:
    """Return the first share and the participation ratio of some rows."""
    some = weights[kept] / weights[kept].sum()
    shares = principal_shares(rows[kept], some)
    first = float(shares[0]) if shares.size else float("nan")
    return first, participation_ratio(shares)


def _gather(
    site: str,
    names: tuple[str, ...],
    own: list[tuple[float, float]],
    random: list[list[tuple[float, float]]],
) -> Domains:
    pc1, participation = np.array(own).T
    drawn = np.array(random)
    return Domains(site, names, pc1, participation, drawn[..., 0].T, drawn[..., 1].T)
