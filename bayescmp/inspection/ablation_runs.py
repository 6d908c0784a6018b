"""Runs of a network with parts replaced, chunk by chunk: what each replacement costs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.inspection.intervention_cases import Cases
from bayescmp.layers.interventions import (
    PartChanges,
    PartContext,
    change_parts,
    divergences_after,
    read_activations,
)
from bayescmp.networks.interventions import Replacement
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork

WAYS = ("zero", "mean", "resample")
"""What takes a part's place: zeros, its mean over sequences at the same input position, what it
computes on another sequence."""

CHUNK = 256
"""Sequences whose activations are held at once."""


def attends(network: AbstractResidualNetwork) -> bool:
    """Return whether a network has attention heads.

    Args:
        network: Network.
    """
    return isinstance(network.blocks.mixer, Attention)


def head_size(network: AbstractResidualNetwork) -> int:
    """Return how many numbers one head gathers.

    Args:
        network: Network that attends.
    """
    mixer = network.blocks.mixer
    if not isinstance(mixer, Attention):
        raise ValueError("network: expected one with attention heads, got one without")
    return mixer.out.shape[-2] // mixer.num_heads


def measure_damage(
    cases: Cases, items: PartChanges, maps: tuple[Array, Array]
) -> Float[np.ndarray, "intervention sequence position"]:
    """Return ``KL(exact || changed) - KL(exact || network)`` for many changes of parts.

    Args:
        cases: Sequences.
        items: One row for each change; the first one changes nothing.
        maps: Maps of heads, and of what mixers and feed-forward parts add.

    Returns:
        Damage in nats, in 64 bits.
    """
    network = cases.network
    cuts, weights = _cut(cases)
    clean = [_read_parts(cases, cut) for cut in cuts]
    mean = _average(clean, weights)
    found = []
    for cut, own in zip(cuts, clean, strict=True):
        other = _read_parts(cases, cases.others[cut])
        context = PartContext(own, jax.tree.map(_stack_ways, own, mean, other), *maps)
        log_p = jnp.asarray(cases.log_p[cut], jnp.float32)[None]
        inputs = cases.inputs[cut]
        kl = divergences_after(network, inputs, cases.asked, log_p, change_parts, items, context)
        found.append(np.asarray(kl[:, 0], np.float64))
    kl = np.concatenate(found, axis=1)[:, : len(cases.weights)]
    return kl - kl[:1]


def _read_parts(cases: Cases, rows: np.ndarray) -> Replacement:
    """Return what parts compute on some of the sequences."""
    return replace(read_activations(cases.network, cases.inputs[rows]), streams=None)


def _cut(cases: Cases) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Cut the sequences into chunks of one size, the last one filled up with weight zero."""
    num = len(cases.weights)
    size = min(num, CHUNK)
    places = np.arange(-(-num // size) * size)
    weights = np.where(places < num, cases.weights[places % num], 0.0)
    starts = range(0, len(places), size)
    return (
        [places[start : start + size] % num for start in starts],
        [weights[start : start + size] for start in starts],
    )


def _average(activations: list[Replacement], weights: list[np.ndarray]) -> Replacement:
    """Average what parts compute over sequences, at each input position."""

    def weigh(activations: Replacement, weight: np.ndarray) -> Replacement:
        shares = jnp.asarray(weight, jnp.float32)
        return jax.tree.map(lambda z: jnp.tensordot(shares, z, (0, 1)), activations)

    total, *rest = [weigh(*pair) for pair in zip(activations, weights, strict=True)]
    for one in rest:
        total = jax.tree.map(jnp.add, total, one)
    return total


def _stack_ways(own: Array, mean: Array, other: Array) -> Array:
    """Put side by side what may take a part's place, in the order of ``WAYS``."""
    return jnp.stack([jnp.zeros_like(own), jnp.broadcast_to(mean[:, None], own.shape), other])
