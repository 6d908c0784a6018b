"""What probes found: every score beside its controls, and none without."""

import difflib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayescmp.inspection.effect import LEVEL, Effect, exceedance, select
from bayescmp.inspection.probe_controlled import Controlled, in_bits

ALL_PLACES = "all places"
"""Name of the read-out from all places of the residual stream side by side."""

RESOLUTION = 1e-6
"""Unexplained shares below this count as this: streams come in 32 bits."""

MATERIAL = 0.1
"""An effect leaves unexplained at least ``exp(-0.1)`` times less, a tenth, than the control."""


LEAST_CLARITY = 0.01
"""A head that leaves a share of ``exp(-0.01)`` unexplained, or more, reads nothing."""


@dataclass(frozen=True, repr=False)
class ProbeResult:
    """How well one target is read from one place, beside the controls."""

    target: str
    place: str
    r_squared: Controlled
    """Share of the variance explained, summed over the target's columns."""
    kl: Controlled | None
    """Divergence of the decoded law from the exact one, in nats; None where the target is none."""
    penalty: float
    """Ridge penalty, as a share of the mean eigenvalue."""
    rank: int
    """Directions in which the features vary."""
    num_features: int
    is_head: bool = False
    """Whether it is read from what one attention head writes."""

    def __str__(self) -> str:
        """Write both scores with their controls."""
        bits = () if self.kl is None else (str(in_bits(self.kl)),)
        short = "" if self.rank == self.num_features else f" (rank {self.rank})"
        place = f"{self.place}, {self.num_features} features{short}"
        return "\n  ".join([f"{self.target} from {place}:", str(self.r_squared), *bits])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Write both scores as tables, for notebooks."""
        parts = [self.r_squared] if self.kl is None else [self.r_squared, in_bits(self.kl)]
        title = html.escape(f"{self.target} from {self.place}")
        return f"<p>{title}</p>{''.join(part._repr_html_() for part in parts)}"

    def p_value(self) -> float:
        """Return the chance of reading as much from one more network that nobody trained.

        Judged on ``c = -log`` of the unexplained share, which is nearer to normal than the share;
        from single heads on ``log c``, since some untrained heads read much by chance.
        """
        shares = np.array([self.r_squared.value, *self.r_squared.initial])
        clarity = -np.log(np.maximum(1.0 - shares, RESOLUTION))
        clarity[0] -= MATERIAL
        if self.is_head:
            clarity = np.log(np.maximum(clarity, LEAST_CLARITY))
        return exceedance(float(clarity[0]), clarity[1:])


@dataclass(frozen=True, repr=False)
class Probes:
    """All read-outs from one network."""

    results: tuple[ProbeResult, ...]
    """Read from the residual stream: target by target, place by place."""
    heads: tuple[ProbeResult, ...]
    """Read from what each attention head writes: target by target, head by head."""
    targets: Mapping[str, str]
    """Meaning of each target, by name."""
    num_columns: Mapping[str, int]
    """How many numbers each target has."""
    wrong_prior: str
    """Name of the rival that has another prior; empty where there is none."""
    judged: str
    """On what rows read-outs were fitted and judged, in words."""
    notes: tuple[str, ...]
    """What limits the figures, in words."""

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the places, the last one all of them together where these are few enough."""
        return tuple(dict.fromkeys(result.place for result in self.results))

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the attention heads, block by block; none where nothing attends."""
        return tuple(dict.fromkeys(result.place for result in self.heads))

    def result(self, target: str, place: str) -> ProbeResult:
        """Look one read-out up.

        Args:
            target: Name of what is read.
            place: Place of the residual stream, or attention head.

        Returns:
            Its scores and their controls.

        Raises:
            ValueError: If there is no such target or place; the nearest names are given.
        """
        check_name("target", target, tuple(self.targets))
        check_name("place", place, (*self.places, *self.head_names))
        every = (*self.results, *self.heads)
        return next(r for r in every if (r.target, r.place) == (target, place))

    def effects(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return the heads and places where more is read than in networks that nobody trained.

        Every target from every head, and at every place but the last, which is all of them, is
        one of the tests.

        Args:
            level: Chance that any is named where training did nothing.

        Returns:
            Effects on the share explained, the clearest first.
        """
        places = (result for result in self.results if result.place != ALL_PLACES)
        tested = (*places, *self.heads)
        return select([_effect(result) for result in tested], level)

    def first_effects(self, level: float = LEVEL) -> dict[str, Effect]:
        """Return for each target the first place where more is read than before training.

        What stands in a residual stream stays there, so that later places show it too.

        Args:
            level: Chance that any is named where training did nothing.

        Returns:
            The first effect of each target that has any.
        """
        named = {effect.where: effect for effect in self.effects(level)}
        first: dict[str, Effect] = {}
        for result in self.results:
            found = named.get(_where(result))
            if found is not None:
                first.setdefault(result.target, found)
        return first

    def best(self, target: str) -> ProbeResult:
        """Return the place from which the largest share of a target is read.

        Args:
            target: Name of what is read.

        Returns:
            Its scores and their controls.
        """
        check_name("target", target, tuple(self.targets))
        own = [result for result in self.results if result.target == target]
        return max(own, key=lambda result: result.r_squared.value)

    def __str__(self) -> str:
        """Write the best place of each target with its controls."""
        best = [str(self.best(target)) for target in self.targets]
        return "\n".join(["Best place of each target:", *best, self.judged, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Write the best place of each target with its controls, for notebooks."""
        best = "".join(self.best(target)._repr_html_() for target in self.targets)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in (self.judged, *self.notes))
        return f"{best}{notes}"


def check_name(argument: str, name: str, known: Sequence[str]) -> None:
    """Check that a name exists.

    Args:
        argument: What the name is for.
        name: The name.
        known: All names.

    Raises:
        ValueError: If it does not; the nearest ones are given.
    """
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    raise ValueError(
        f"{argument}: expected one of {', '.join(known)}, got {name!r}; nearest: {', '.join(near)}"
    )


def _effect(result: ProbeResult) -> Effect:
    score = result.r_squared
    return Effect(_where(result), score.value, float(score.initial.mean()), result.p_value())


def _where(result: ProbeResult) -> str:
    return f"{result.place}: {result.target}"
