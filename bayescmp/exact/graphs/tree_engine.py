"""The exact answer for trees of any shape that the prompt gives, padded to one size."""

import abc
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.two_pass import two_pass
from bayescmp.records import Reference


class PaddedTree(eqx.Module):
    """One tree with its tables and its evidence, variables from the root down."""

    parents: Int[Array, " variable"]
    """Number of each variable's parent, -1 for none."""
    labels: Int[Array, " variable"]
    """Row of each variable."""
    log_tables: Float[Array, "variable value value"]
    """Log table between each variable and its parent in nats, the parent's value first."""
    log_potentials: Float[Array, "variable value"]
    """Log weight of each value in nats; minus infinity throughout for padding."""


@dataclass(frozen=True)
class TreeReader(abc.ABC):
    """What an engine has to know of a model of trees to read its sites; hashable."""

    @abc.abstractmethod
    def tree(self, sites: dict[str, Array]) -> PaddedTree:
        """Return the tree of one example.

        Args:
            sites: Values of the given sites, by name.

        Returns:
            Structure, tables and evidence.
        """

    @abc.abstractmethod
    def treatment(self) -> dict[str, str]:
        """Say how every site is dealt with."""


class TreeEngine(AbstractEngine):
    """Two passes over each tree, up to its root and down again.

    The structure is an argument like the numbers, so that one compiled function answers for all
    trees. Padding has its first value. ``belief["x"][t]`` holds the law of every variable, from
    the root down, the same for each question.
    """

    reader: TreeReader = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        tree = self.reader.tree(sites)
        log_total, found = two_pass(tree.parents, tree.log_tables, tree.log_potentials)
        is_padding = jnp.all(jnp.isneginf(tree.log_potentials), axis=1, keepdims=True)
        first = jnp.where(jnp.arange(found.shape[1]) == 0, 0.0, -jnp.inf).astype(found.dtype)
        laws = jnp.where(is_padding, first, found)
        log_evidence = jnp.where(jnp.isneginf(log_total), -jnp.inf, jnp.zeros_like(log_total))
        return Reference(
            log_predictive=jnp.zeros_like(laws).at[tree.labels].set(laws),
            log_evidence=jnp.broadcast_to(log_evidence, laws.shape[:1]),
            belief={"x": jnp.broadcast_to(jnp.exp(laws), (laws.shape[0], *laws.shape))},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer as ever: all that is shown stands in the prompt, which windows remember."""
        return self(sites).log_predictive

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return self.reader.treatment()

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "on a tree, one pass of messages to the root and one back are sums over all settings"
