"""What a network is shown, in what order, and what it is asked.

Next-token prediction, the bijection, filtering and regression are four settings of one
record. The prompt shows the ``given`` sites whole. Step ``t`` then shows the ``query``
sites at ``t``, asks the ``outcome`` at ``t``, and shows the answer if ``reveal`` is set.

=====================  ===================  ============  ========
task                   given                query         reveal
=====================  ===================  ============  ========
next token                                                yes
bijection                                   key           yes
filtering in an HMM    transition,emission  symbol        no
regression                                  x             yes
=====================  ===================  ============  ========

A continuous outcome is asked by its bin, between ``edges``, and is shown as the number it is.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bayescmp.program import Site
from bayescmp.questions import Questions as Questions


@dataclass(frozen=True)
class Layout:
    """The arrangement of a program's sites into one sequence of inputs."""

    outcome: Site
    given: tuple[Site, ...]
    query: tuple[Site, ...]
    reveal: bool
    edges: tuple[float, ...] = ()

    @property
    def length(self) -> int:
        """Number of questions."""
        return self.outcome.shape[0]

    @property
    def num_outcomes(self) -> int:
        """Number of values that the asked site can take, or of its bins."""
        return len(self.edges) + 1 if self.edges else self.outcome.num_values or 0

    @property
    def kept_sites(self) -> tuple[Site, ...]:
        """Sites whose values a batch keeps as shown: more than the outcome's index tells."""
        binned = (self.outcome,) if self.edges and self.reveal else ()
        return (*self.given, *self.query, *binned)

    @property
    def shown_sites(self) -> tuple[Site, ...]:
        """Sites that appear among the inputs, in the order of their code blocks."""
        return (*self.given, *self.query, *((self.outcome,) if self.reveal else ()))

    @property
    def has_start(self) -> bool:
        """Whether a start token stands first, because the first question follows nothing."""
        return not self.given and not self.query

    @property
    def shows_all_first(self) -> bool:
        """Whether all inputs stand there before the first question: never, step by step."""
        return False

    @property
    def uses_tokens(self) -> bool:
        """Whether inputs are tokens; vectors otherwise (some shown site is continuous)."""
        return all(site.num_values is not None for site in self.shown_sites)

    @property
    def input_length(self) -> int:
        """Number of input positions; nothing is shown after the last question."""
        step = len(self.query) + self.reveal
        return self.header_length + self.length * step - self.reveal

    @property
    def header_length(self) -> int:
        """Number of input positions before the first step."""
        return int(self.has_start) + sum(_num_rows(group[0]) for group in self.header)

    @property
    def header(self) -> tuple[tuple[Site, ...], ...]:
        """Given sites that stand at the same input positions.

        Where inputs are vectors, row ``k`` of all sites in one plate stands at one
        position: the rows of a transition and an emission matrix belong to one state.
        """
        groups: list[tuple[Site, ...]] = []
        for site in self.given:
            last = groups[-1][0] if groups else site
            together = last.plate == site.plate is not None and not self.uses_tokens
            if groups and together and _num_rows(site) == _num_rows(last):
                groups[-1] = (*groups[-1], site)
            else:
                groups.append((site,))
        return tuple(groups)

    @property
    def asked_positions(self) -> Int[np.ndarray, " position"]:
        """Input position at which each question is answered."""
        step = len(self.query) + self.reveal
        first = self.header_length + len(self.query) - 1
        return first + step * np.arange(self.length)

    @property
    def input_size(self) -> int:
        """Size of the vocabulary, or of an input vector where inputs are vectors."""
        blocks = sum(_block_size(site, is_given=site in self.given) for site in self.shown_sites)
        tokens = sum(site.num_values or 0 for site in self.shown_sites)
        return int(self.has_start) + (tokens if self.uses_tokens else blocks)

    @property
    def outcome_token(self) -> int | None:
        """Token of the first outcome; None where outcomes are not shown as tokens."""
        return self._offsets()[self.outcome.name] if self.reveal and self.uses_tokens else None

    def outcome_indices(self, sites: dict[str, Array]) -> Int[Array, " position"]:
        """Return the asked values of one example as indices from zero, or their bins."""
        values = sites[self.outcome.name]
        if self.edges:
            # Counts lie beyond an edge as soon as they lie beyond the integer below it.
            whole = jnp.issubdtype(values.dtype, jnp.integer)
            edges = jnp.array(np.floor(self.edges) if whole else self.edges, values.dtype)
            return jnp.searchsorted(edges, values, method="compare_all").astype(jnp.int32)
        return (values - self.outcome.lowest).astype(jnp.int32)

    def supervised(self, sites: dict[str, Array]) -> Bool[Array, " position"]:
        """Say which questions of one example count: all.

        Args:
            sites: Value of every shown site, by name.

        Returns:
            One flag for each question.
        """
        return jnp.ones(self.length, bool)

    def reject(self, sites: dict[str, np.ndarray]) -> None:
        """Check values that somebody supplies, beyond what each site can take: nothing to do.

        Args:
            sites: Values by name, any number of batch axes in front.
        """

    def encode(
        self, sites: dict[str, Array]
    ) -> Int[Array, " input_position"] | Float[Array, "input_position feature"]:
        """Arrange one example's site values into the inputs of a network.

        Finite sites become tokens, each site with a code block of its own. As soon as a
        shown site is continuous every input becomes a vector with one block of features
        for each site: a one-hot code for finite values; the row itself and a one-hot row
        number for sites given in the prompt; the value and a one for other sites.

        Args:
            sites: Value of every shown site, by name.

        Returns:
            Tokens, or vectors where a shown site is continuous.
        """
        code = self._encode_tokens if self.uses_tokens else self._encode_vectors
        offsets = self._offsets()
        # Sites at one position have blocks of their own, so their sum keeps them apart.
        header = [
            sum(code(site, sites[site.name], offsets[site.name]) for site in group)
            for group in self.header
        ]
        if self.has_start:
            header.insert(0, self._start())
        turns = [code(site, sites[site.name], offsets[site.name]) for site in self.query]
        if self.reveal:
            name = self.outcome.name
            turns.append(code(self.outcome, sites[name], offsets[name]))
        steps = jnp.stack(turns, axis=1)
        steps = steps.reshape(-1, *steps.shape[2:])
        return jnp.concatenate([*header, steps])[: self.input_length]

    def describe(self, sites: dict[str, np.ndarray]) -> list[str]:
        """Name what stands at each input position of one example, for people.

        Args:
            sites: Value of every shown site, by name.

        Returns:
            One short text for each input position.
        """
        header = ["start"] if self.has_start else []
        for group in self.header:
            for row in range(_num_rows(group[0])):
                header.append(", ".join(f"{site.name}[{row}]" for site in group))
        turns = [*self.query, *((self.outcome,) if self.reveal else ())]
        steps = [
            f"{site.name} {np.array2string(sites[site.name][step], precision=2)}"
            for step in range(self.length)
            for site in turns
        ]
        return [*header, *steps][: self.input_length]

    def _offsets(self) -> dict[str, int]:
        offsets, start = {}, int(self.has_start)
        for site in self.shown_sites:
            offsets[site.name] = start
            is_given = site in self.given
            start += (site.num_values or 0) if self.uses_tokens else _block_size(site, is_given)
        return offsets

    def _start(self) -> Array:
        """Return the start token, or the vector that stands for it."""
        if self.uses_tokens:
            return jnp.zeros(1, jnp.int32)
        return jax.nn.one_hot(jnp.zeros(1, jnp.int32), self.input_size)

    def _encode_tokens(self, site: Site, value: Array, offset: int) -> Array:
        return (jnp.ravel(value) - site.lowest + offset).astype(jnp.int32)

    def _encode_vectors(self, site: Site, value: Array, offset: int) -> Array:
        is_given = site in self.given
        rows = value.reshape(_num_rows(site) if is_given else self.length, -1)
        if site.num_values is None:
            rows = rows.astype(jnp.result_type(float, rows.dtype))
            numbers = jnp.eye(rows.shape[0]) if is_given else jnp.ones((rows.shape[0], 1))
            block = jnp.concatenate([rows, numbers.astype(rows.dtype)], axis=1)
        else:
            block = jax.nn.one_hot(rows[:, 0] - site.lowest, site.num_values)
        right = self.input_size - offset - block.shape[1]
        return jnp.pad(block, ((0, 0), (offset, right)))


def _num_rows(site: Site) -> int:
    """Return the number of input positions that a site in the prompt takes."""
    if site.num_values is not None:
        return int(np.prod(site.shape))
    return int(np.prod(site.shape[:-1])) if len(site.shape) > 1 else _vector_rows(site)


def _vector_rows(site: Site) -> int:
    return 1 if site.event_dim or not site.shape else site.shape[0]


def _block_size(site: Site, is_given: bool) -> int:
    """Return the number of features in a site's block."""
    if site.num_values is not None:
        return site.num_values
    num_rows = _num_rows(site) if is_given else site.shape[0]
    width = int(np.prod(site.shape)) // num_rows
    return width + (num_rows if is_given else 1)
