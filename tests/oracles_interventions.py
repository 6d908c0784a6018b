"""Interventions on a transformer in plain NumPy, part by part: what the network must do."""

import numpy as np
import oracles_network
from oracles_network import attention, normalise_all, plain, transform


def change_stream(changes: dict[str, np.ndarray], place: int, x: np.ndarray) -> np.ndarray:
    """``x + (1 - scale) P (r - x) + shift``, position by position."""
    changed = x.copy()
    for position, row in enumerate(x):
        basis = changes["basis"][place]
        lacking = changes["streams"][place, position] - row
        share = 1.0 - changes["stream_scale"][place, position]
        moved = sum(share * (lacking @ direction) * direction for direction in basis.T)
        changed[position] = row + moved + changes["shift"][place, position]
    return changed


def mix(network, layer: int, x: np.ndarray, changes: dict[str, np.ndarray]) -> np.ndarray:
    """What attention adds, with heads and the whole replaced in part."""
    mixer = network.blocks.mixer
    seen = normalise_all(network.blocks.mixer_norm, x, layer)
    written, *_ = attention(network.config, mixer, seen, changes["head_scale"][layer], layer)
    gathered = changes["heads"][layer]
    for head in range(network.config.num_heads):
        rows = slice(head * gathered.shape[-1], (head + 1) * gathered.shape[-1])
        share = 1.0 - changes["head_scale"][layer, head]
        written = written + share * gathered[head] @ plain(mixer.out, layer)[rows]
    scale = changes["mixer_scale"][layer]
    return scale * written + (1.0 - scale) * changes["mixer_out"][layer]


def logits(network, inputs: np.ndarray, changes: dict[str, np.ndarray]) -> np.ndarray:
    """Answers of a network with norms before its parts, whose blocks are all different."""
    stream = change_stream(changes, 0, oracles_network.embed(network, inputs))
    for layer in range(network.config.num_layers):
        middle = stream + mix(network, layer, stream, changes)
        middle = change_stream(changes, 2 * layer + 1, middle)
        seen = normalise_all(network.blocks.mlp_norm, middle, layer)
        added = transform(network.config, network.blocks.mlp, seen, layer)
        scale = changes["mlp_scale"][layer]
        added = scale * added + (1.0 - scale) * changes["mlp_out"][layer]
        stream = change_stream(changes, 2 * layer + 2, middle + added)
    return oracles_network.read_out(network, stream)
