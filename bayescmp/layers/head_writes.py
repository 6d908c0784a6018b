"""What each attention head writes into the residual stream, in as few numbers as it has."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.layers.interventions import head_outputs
from bayescmp.networks.network import AbstractTracedNetwork, Positions
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.records import LayerTrace

Written = Float[Array, "layer head *sequence position component"]


def output_matrices(
    network: AbstractTracedNetwork,
) -> Float[Array, "block head head_feature feature"] | None:
    """Return each head's slice of the output matrix.

    Args:
        network: Any network.

    Returns:
        One matrix for each head of each different block; None where nothing attends, or the
        blocks of the network are not known.
    """
    if not isinstance(network, AbstractResidualNetwork):
        return None
    mixer = network.blocks.mixer
    if not isinstance(mixer, Attention):
        return None
    return mixer.out.reshape(mixer.out.shape[0], mixer.num_heads, -1, mixer.out.shape[-1])


def head_writes(
    network: AbstractTracedNetwork, trace: LayerTrace, positions: Positions
) -> Written | None:
    """Return what each head adds to the residual stream, in an orthonormal basis of its own.

    A head that gathers ``z`` adds ``z W`` with its slice ``W = U S V^T`` of the output matrix.
    ``z U S`` are the components of that along the rows of ``V^T``: the same lengths and angles in
    as few numbers as the head has.

    Args:
        network: Network of the trace.
        trace: What it computed, for one sequence or a batch traced in one call.
        positions: Input positions that are looked at.

    Returns:
        Components of each head's write; None where nothing attends, or blocks are not known.

    Example:
        >>> model = bc.models.Bijection(size=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> from bayescmp.layers.head_writes import head_writes
        >>> head_writes(network, network.trace_layers(jnp.array([0, 5, 1])), jnp.arange(2)).shape
        (3, 4, 2, 16)
    """
    gathered, out = head_outputs(trace), output_matrices(network)
    if gathered is None or out is None:
        return None
    left, sizes, _ = jnp.linalg.svd(out, full_matrices=False)
    components = left * sizes[..., None, :]
    loops = gathered.shape[0] // out.shape[0]
    components = jnp.tile(components, (loops, 1, 1, 1))
    here = gathered[..., positions, :]
    return jnp.einsum("l...hpf,lhfc->lh...pc", here, components.astype(here.dtype))


def head_names(num_layers: int, num_heads: int) -> tuple[str, ...]:
    """Name the heads of a network: blocks from one on, heads from zero on.

    Args:
        num_layers: Number of blocks, loops counted.
        num_heads: Heads in a block.

    Returns:
        Names, block by block.

    Example:
        >>> from bayescmp.layers.head_writes import head_names
        >>> head_names(1, 2)
        ('block 1 head 0', 'block 1 head 1')
    """
    return tuple(
        f"block {layer + 1} head {head}" for layer in range(num_layers) for head in range(num_heads)
    )
