"""Variable-order Markov sources, whose exact predictor is context-tree weighting."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Int
from numpyro.contrib.control_flow import scan

from bayescmp.engine import AbstractEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions
from bayescmp.models.arguments import require_at_least
from bayescmp.records import Reference

MAX_LISTED = 16
"""Longest sequences of bits of which all are listed to answer from a window."""


class ContextTree(AbstractGenerativeModel):
    """Bits whose law depends on as many bits before them as an unknown tree says.

    Each node of a binary tree up to ``depth`` splits with probability 1/2, and each leaf has
    ``theta ~ Beta(1/2, 1/2)``. The last bits, the latest first, lead from the root to a leaf,
    and ``p(y_t = 1 | past) = theta[leaf]``. So a tree with ``n`` leaves, of which ``m`` have
    the greatest depth, has prior probability ``2^-(2 n - 1 - m)``. Before the first bit
    stand ``depth`` zeros.

    Nodes are numbered as in a heap: the root is 0, and the children of ``i`` are
    ``2 i + 1`` (after a zero) and ``2 i + 2`` (after a one).

    Source: Willems, Shtarkov and Tjalkens, "The Context-Tree Weighting Method: Basic
    Properties", IEEE Transactions on Information Theory 41 (1995); Krichevsky and
    Trofimov, same journal 27 (1981), for the estimator at the leaves.

    Example:
        >>> model = ContextTree(depth=3, length=16)
        >>> bc.derive_oracle(model).certificate.engine
        'closed form'
    """

    depth: int = eqx.field(static=True)
    num_bits: int = eqx.field(static=True)

    def __init__(self, depth: int = 3, length: int = 64) -> None:
        """Describe the process.

        Args:
            depth: Greatest number of past bits that matter, at least one.
            length: Number of bits in a sequence, at least one.

        Raises:
            ValueError: If a number is out of range.
        """
        require_at_least("depth", depth, 1)
        require_at_least("length", length, 1)
        self.depth = depth
        self.num_bits = length

    def program(self) -> None:
        """Draw a tree and a bias for each node, then bits."""
        with numpyro.plate("inner", 2**self.depth - 1):
            split = numpyro.sample("split", dist.Bernoulli(0.5))
        with numpyro.plate("node", 2 ** (self.depth + 1) - 1):
            theta = numpyro.sample("theta", dist.Beta(0.5, 0.5))

        def step(past: jax.Array, _: None) -> tuple[jax.Array, None]:
            node = jnp.zeros((), int)
            for level in range(self.depth):
                child = 2 * node + 1 + past[level]
                goes_on = (split[node] == 1) & (node >= 2**level - 1)
                node = jnp.where(goes_on, child, node)
            bit = numpyro.sample("bit", dist.Bernoulli(theta[node]))
            return jnp.concatenate([bit[None], past[:-1]]).astype(past.dtype), None

        scan(step, jnp.zeros(self.depth, int), None, length=self.num_bits)

    def questions(self) -> Questions:
        """Ask for each bit, then show it."""
        return Questions(outcome="bit")

    def closed_form(self) -> AbstractEngine:
        """Return context-tree weighting."""
        return ContextTreeEngine(self.depth, bit_site="bit", split_site="split", theta_site="theta")

    def title(self) -> str:
        """Return the name for tables."""
        return f"context tree of depth {self.depth}, {self.num_bits} bits"


class ContextTreeEngine(AbstractEngine):
    """The mixture over all trees, by one sum for each node.

    With ``a`` zeros and ``b`` ones counted at a node, ``P_e = B(a + 1/2, b + 1/2) / B(1/2,
    1/2)``. At the greatest depth ``P_w = P_e``, and above it
    ``P_w = P_e / 2 + P_w(child 0) P_w(child 1) / 2``. The root's ``P_w`` is the evidence, and
    ``p(y | s) = P_w(s y) / P_w(s)``.

    ``belief[split][t, i, 1]`` is the posterior probability that node ``i`` splits, one half
    of the weight at which it is not reached. ``belief[theta][t, i]`` holds the concentrations
    of one and of zero that node ``i`` has if it is a leaf.
    """

    depth: int = eqx.field(static=True)
    bit_site: str = eqx.field(static=True)
    split_site: str = eqx.field(static=True)
    theta_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        bits = sites[self.bit_site]
        visited = self._visited(bits)
        bit = jax.nn.one_hot(bits, 2, dtype=visited.dtype)
        seen = visited[:, :, None] * bit[:, None, :]
        before = jnp.cumsum(seen, axis=0) - seen
        followed = [before + visited[:, :, None] * jnp.eye(2)[value] for value in range(2)]
        log_now, *log_after = jax.vmap(self._log_weighted)(jnp.stack([before, *followed]))
        log_next = jnp.stack([log_weighted[:, 0] for log_weighted in log_after], axis=1)
        return Reference(
            log_predictive=log_next - log_now[:, :1],
            log_evidence=jnp.take_along_axis(log_next, bits[:, None], axis=1)[:, 0],
            belief={
                self.split_site: self._belief(before, log_now),
                self.theta_site: before[:, :, ::-1] + 0.5,
            },
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the last ``window`` bits, by listing all that may stand before them.

        Raises:
            ValueError: If there are too many sequences to list.
        """
        bits = sites[self.bit_site]
        length = bits.shape[0]
        if length > MAX_LISTED:
            raise ValueError(
                f"window: expected at most {MAX_LISTED} bits, of which all sequences can be "
                f"listed to sum out what stands before a window, got {length}"
            )
        numbers = jnp.arange(2**length)
        listed = (numbers[:, None] >> jnp.arange(length)[None, :]) & 1
        log_joint = jax.lax.map(self._log_probability, listed, batch_size=256)
        age = jnp.arange(length)[:, None] - jnp.arange(length)[None, :]
        wrong = (listed != bits)[:, None, :] & ((age > 0) & (age <= window))
        log_joint = jnp.where(wrong.any(axis=2), -jnp.inf, log_joint[:, None])
        counted = listed[:, :, None] == jnp.arange(2)
        log_counts = jax.nn.logsumexp(jnp.where(counted, log_joint[:, :, None], -jnp.inf), axis=0)
        return jax.nn.log_softmax(log_counts, axis=1)

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.split_site: "summed in closed form",
            self.theta_site: "integrated in closed form",
            self.bit_site: "asked, then shown",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "context-tree weighting sums over all trees, node by node"

    def _visited(self, bits: Int[Array, " position"]) -> Float[Array, "position node"]:
        """Mark the nodes on the path that the bits before each position lead along."""
        length = bits.shape[0]
        padded = jnp.concatenate([jnp.zeros(self.depth, bits.dtype), bits])
        node = jnp.zeros(length, bits.dtype)
        path = [node]
        for level in range(self.depth):
            start = self.depth - 1 - level
            node = 2 * node + 1 + padded[start : start + length]
            path.append(node)
        num_nodes = 2 ** (self.depth + 1) - 1
        dtype = jnp.result_type(float)
        return jax.nn.one_hot(jnp.stack(path), num_nodes, dtype=dtype).sum(axis=0)

    def _log_weighted(
        self, counts: Float[Array, "position node 2"]
    ) -> Float[Array, "position node"]:
        """Return ``log P_w`` of every node."""
        log_estimate = _log_estimate(counts)
        levels = [log_estimate[:, 2**k - 1 : 2 ** (k + 1) - 1] for k in range(self.depth + 1)]
        weighted = [levels[-1]]
        for log_own in reversed(levels[:-1]):
            log_children = weighted[0][:, 0::2] + weighted[0][:, 1::2]
            weighted.insert(0, jnp.logaddexp(log_own, log_children) - jnp.log(2.0))
        return jnp.concatenate(weighted, axis=1)

    def _log_probability(self, bits: Int[Array, " position"]) -> Float[Array, ""]:
        bit = jax.nn.one_hot(bits, 2, dtype=jnp.result_type(float))
        counts = jnp.einsum("tn,tb->nb", self._visited(bits), bit)
        return self._log_weighted(counts[None])[0, 0]

    def _belief(
        self, counts: Float[Array, "position node 2"], log_weighted: Float[Array, "position node"]
    ) -> Float[Array, "position inner 2"]:
        """Return ``p(split | s_t)``: where a node is not reached its prior, one half."""
        num_inner = 2**self.depth - 1
        log_own = _log_estimate(counts)[:, :num_inner]
        ends = 0.5 * jnp.exp(log_own - log_weighted[:, :num_inner])
        reached = [jnp.ones_like(ends[:, :1])]
        for level in range(1, self.depth):
            parents = slice(2 ** (level - 1) - 1, 2**level - 1)
            reached.append(jnp.repeat(reached[-1] * (1.0 - ends[:, parents]), 2, axis=1))
        reach = jnp.concatenate(reached, axis=1)
        stops = reach * ends + (1.0 - reach) * 0.5
        return jnp.stack([stops, 1.0 - stops], axis=-1)


def _log_estimate(counts: Float[Array, "position node 2"]) -> Float[Array, "position node"]:
    """Return the Krichevsky-Trofimov ``log P_e`` of the counts at each node."""
    zeros, ones = counts[..., 0], counts[..., 1]
    log_beta = gammaln(zeros + 0.5) + gammaln(ones + 0.5) - gammaln(zeros + ones + 1.0)
    return log_beta - jnp.log(jnp.pi)
