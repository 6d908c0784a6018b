"""What every generative model has: a NumPyro program, and the questions asked of it."""

import abc
from collections.abc import Mapping
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from bayescmp._types import Key
from bayescmp.arrangement import arrange
from bayescmp.engine import AbstractEngine
from bayescmp.layout import Layout, Questions
from bayescmp.program import Program, Site, draw_sites, inspect_program, reject_outside
from bayescmp.records import Batch
from bayescmp.supplied import Lengths, find_batch_shape, read_lengths, repeat_first


class AbstractGenerativeModel(eqx.Module):
    """A NumPyro program, the sites that are shown, and the site that is asked.

    The program is the only description of the process: data is drawn from it and
    oracles are derived from it. Two equal models describe the same process.
    """

    @abc.abstractmethod
    def program(self) -> None:
        """Run the NumPyro program."""

    @abc.abstractmethod
    def questions(self) -> Questions:
        """Say which sites are shown and which one is asked."""

    @abc.abstractmethod
    def closed_form(self) -> AbstractEngine | None:
        """Return a hand-written exact engine, if there is one."""

    @abc.abstractmethod
    def title(self) -> str:
        """Return a name fit for a table in a paper."""

    def __check_init__(self) -> None:
        """Reject programs whose sites do not fit the questions."""
        _ = self.layout

    @property
    def sites(self) -> dict[str, Site]:
        """The program's sample sites, by name."""
        return dict(_inspect(self))

    @property
    def layout(self) -> Layout:
        """How sites are arranged into inputs and questions."""
        return _arrange(self)

    @property
    def length(self) -> int:
        """Number of questions in a sequence."""
        return self.layout.length

    @property
    def num_outcomes(self) -> int:
        """Number of values that the asked site can take."""
        return self.layout.num_outcomes

    @property
    def asked_positions(self) -> Int[np.ndarray, " position"]:
        """Input position at which each question is answered."""
        return self.layout.asked_positions

    def batch_from_sites(
        self, sites: Mapping[str, Array], *, lengths: Lengths | None = None
    ) -> Batch:
        """Turn values of sites into a batch, one example or any number of them.

        Args:
            sites: Value of every shown and asked site, by name, with the same batch
                axes in front. Further sites of the program are kept as latents.
            lengths: Number of questions of each sequence, where some are shorter than the
                model. Questions after that do not count, and it does not matter which
                values stand there: those of shown and asked sites are replaced by the
                sequence's first, those of latents must be ones that they can take.

        Returns:
            The batch.

        Raises:
            TypeError: If lengths are not integers.
            ValueError: If a site is missing or unknown, has the wrong shape, or holds
                values that it cannot take, or lengths do not fit. Inside a compiled
                function, where values are unknown, those are not checked.

        Example:
            >>> model = bc.models.beta_bernoulli(length=3)
            >>> batch = model.batch_from_sites({"token": jnp.array([1, 1, -1])}, lengths=2)
            >>> batch.supervised.tolist(), bc.derive_oracle(model)(batch).log_evidence.round(2)
            ([True, True, False], Array([-0.69, -1.1 , -1.1 ], dtype=float32))
        """
        layout, arrays = self.layout, {name: jnp.asarray(x) for name, x in sites.items()}
        batch_shape = find_batch_shape(layout, self.sites, arrays)
        ends = jnp.full(batch_shape, self.length)
        if lengths is not None:
            ends = read_lengths(lengths, self.length, batch_shape)
            arrays = repeat_first(layout, arrays, ends)
        for name, values in arrays.items():
            if not isinstance(values, Tracer):
                reject_outside(self.sites[name], np.asarray(values))
        if not any(isinstance(values, Tracer) for values in arrays.values()):
            layout.reject({name: np.asarray(values) for name, values in arrays.items()})
        build = self._example
        for _ in batch_shape:
            build = jax.vmap(build)
        batch, there = build(arrays), jnp.arange(self.length) < ends[..., None]
        return eqx.tree_at(lambda b: b.supervised, batch, batch.supervised & there)

    def sample(self, num_sequences: int, *, key: Key) -> Batch:
        """Draw independent sequences from the program.

        Args:
            num_sequences: Number of sequences, at least one.
            key: Typed key.

        Returns:
            A batch with one leading axis.

        Raises:
            ValueError: If ``num_sequences`` is less than one.
        """
        if num_sequences < 1:
            raise ValueError(f"num_sequences: expected at least 1, got {num_sequences}")
        return jax.vmap(lambda k: self.draw(key=k))(jax.random.split(key, num_sequences))

    def draw(self, *, key: Key) -> Batch:
        """Draw one sequence from the program.

        Args:
            key: Typed key.

        Returns:
            One example, without a batch axis.
        """
        return self._example(draw_sites(self.program, key=key))

    def engine_sites(self, batch: Batch) -> dict[str, Array]:
        """Return the sites that an engine reads: all that are shown, and the asked one.

        Args:
            batch: Sequences of this model.

        Returns:
            Values by name, with the batch's axes in front.
        """
        outcome = self.layout.outcome
        return {outcome.name: batch.outcomes + outcome.lowest, **batch.shown}

    def _example(self, sites: dict[str, Array]) -> Batch:
        layout = self.layout
        asked = layout.outcome.name
        shown = {site.name for site in layout.kept_sites}
        return Batch(
            inputs=layout.encode(sites),
            outcomes=layout.outcome_indices(sites),
            supervised=layout.supervised(sites),
            shown={name: sites[name] for name in sites if name in shown},
            latents={name: sites[name] for name in sites if name not in shown | {asked}},
        )


@lru_cache(maxsize=256)
def _inspect(model: AbstractGenerativeModel) -> dict[str, Site]:
    program: Program = model.program
    return inspect_program(program)


@lru_cache(maxsize=256)
def _arrange(model: AbstractGenerativeModel) -> Layout:
    return arrange(_inspect(model), model.questions())
