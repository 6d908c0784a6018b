"""The tables of a walkthrough: a row for each input position, whatever shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MOST_BARS = 40
"""A law over more values than this is not drawn as bars."""

FAINTEST_BIT, STRONGEST_BIT = 1e-4, 1.0
"""Divergences at which the shade of an entry begins and ends, evenly in logarithms."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table."""

    text: str = ""
    hint: str = ""
    """What it stands for, where there is room for it."""
    shade: float = 0.0
    """How strongly it is shaded, 0 to 1."""
    bars: tuple[float, ...] = ()
    """Probabilities to draw as bars."""


@dataclass(frozen=True)
class Table:
    """A table with one row for each input position."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def predictive_table(
    reads: Sequence[str],
    asked_at: Int[np.ndarray, " position"],
    laws: dict[str, Float[np.ndarray, "position value"]],
    lens: Float[np.ndarray, "stream position outcome"],
    kl: Float[np.ndarray, "stream position"],
    stream_names: Sequence[str],
) -> Table:
    """Lay out the exact laws beside what every place in the stream would answer.

    Args:
        reads: What stands at each input position.
        asked_at: Input position at which each question is answered.
        laws: Exact laws by name, the predictive first.
        lens: Probabilities by the logit lens.
        kl: KL from the exact predictive to the lens, in bits.
        stream_names: Names of the places.

    Returns:
        The table; positions at which nothing is asked have no laws.
    """
    questions = {int(place): question for question, place in enumerate(asked_at)}
    rows = []
    for place, text in enumerate(reads):
        row = [Entry(str(place)), Entry(text)]
        question = questions.get(place)
        if question is None:
            row += [Entry()] * (len(laws) + len(lens))
        else:
            row += [_law(law[question]) for law in laws.values()]
            row += [_lens(lens[s, question], kl[s, question]) for s in range(len(lens))]
        rows.append(tuple(row))
    return Table(
        "Likeliest value with its probability; at each place in the residual stream, KL(exact ‖ "
        "logit lens) in bits, that of the network's answer last",
        ("", "reads", *laws, *stream_names),
        tuple(rows),
    )


def attention_table(
    reads: Sequence[str],
    attention: Float[np.ndarray, "block head input_position source_position"] | None,
) -> Table:
    """Lay out where every head looks most.

    Args:
        reads: What stands at each input position.
        attention: Attention weights; None where nothing attends.

    Returns:
        The table; without a row where nothing attends.
    """
    if attention is None:
        return Table("This network does not attend: its streams are all that can be seen", (), ())
    heads = [(b, h) for b in range(attention.shape[0]) for h in range(attention.shape[1])]
    rows = [
        (
            Entry(str(place)),
            Entry(text),
            *(_look(attention[block, head, place], reads) for block, head in heads),
        )
        for place, text in enumerate(reads)
    ]
    return Table(
        "The position that each head (block.head) attends to most, with its weight",
        ("", "reads", *(f"{block + 1}.{head}" for block, head in heads)),
        tuple(rows),
    )


def _law(law: Float[np.ndarray, " value"]) -> Entry:
    """Show the likeliest value of a law."""
    if np.isnan(law).any():
        return Entry("–", "this question does not count")
    likeliest = int(law.argmax())
    bars = tuple(law.tolist()) if law.size <= MOST_BARS else ()
    return Entry(f"{likeliest}: {law[likeliest]:.3f}", bars=bars)


def _lens(law: Float[np.ndarray, " outcome"], bits: float) -> Entry:
    """Show how far a place in the stream is from exact, and its law."""
    shown = _law(law)
    if not shown.bars and np.isnan(law).any():
        return shown
    span = np.log(STRONGEST_BIT / FAINTEST_BIT)
    shade = float(np.clip(np.log(max(bits, FAINTEST_BIT) / FAINTEST_BIT) / span, 0.0, 1.0))
    return Entry(f"{max(bits, 0.0):.4f}", shown.text, shade, shown.bars)


def _look(weights: Float[np.ndarray, " source_position"], reads: Sequence[str]) -> Entry:
    """Show the largest weight of one head at one position; a linear kernel has negative ones."""
    source = int(np.abs(weights).argmax())
    weight = float(weights[source])
    return Entry(f"{source} ({weight:.2f})", reads[source], min(abs(weight), 1.0))
