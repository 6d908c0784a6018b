"""The array names of TransformerLens, with their shapes, and what stands under them in a file."""

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

Shape = tuple[str, ...]
"""Words for the sizes of an array's axes."""

_WIDTH: Shape = ("width",)
_NORM: dict[str, Shape] = {"w": _WIDTH, "b": _WIDTH}
_ATTENTION: dict[str, Shape] = {
    "W_Q": ("head", "width", "head_feature"),
    "W_K": ("source_head", "width", "head_feature"),
    "W_V": ("source_head", "width", "head_feature"),
    "W_O": ("head", "head_feature", "width"),
    "b_Q": ("head", "head_feature"),
    "b_K": ("source_head", "head_feature"),
    "b_V": ("source_head", "head_feature"),
    "b_O": _WIDTH,
}
_FEED_FORWARD: dict[str, Shape] = {
    "W_in": ("width", "hidden"),
    "b_in": ("hidden",),
    "W_out": ("hidden", "width"),
    "b_out": _WIDTH,
}

OUTSIDE: dict[str, Shape] = {
    "embed.W_E": ("token", "width"),
    "pos_embed.W_pos": ("place", "width"),
    "ln_final.w": _WIDTH,
    "ln_final.b": _WIDTH,
    "unembed.W_U": ("width", "output"),
    "unembed.b_U": ("output",),
}
"""Arrays that stand once."""

ATTENTION_ONLY: dict[str, Shape] = {
    **{f"ln1.{name}": shape for name, shape in _NORM.items()},
    **{f"attn.{name}": shape for name, shape in _ATTENTION.items()},
}
"""Arrays of each block, where blocks have no feed-forward part."""

IN_BLOCK: dict[str, Shape] = {
    **ATTENTION_ONLY,
    **{f"ln2.{name}": shape for name, shape in _NORM.items()},
    **{f"mlp.{name}": shape for name, shape in _FEED_FORWARD.items()},
}
"""Arrays of each block."""

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_CONSTANTS = re.compile(r"blocks\.\d+\.attn\.(mask|IGNORE)")
"""What TransformerLens stores beside the weights: the causal mask, and minus infinity."""


def read_arrays(
    weights: str | os.PathLike[str] | Mapping[str, ArrayLike],
) -> dict[str, np.ndarray]:
    """Read arrays by name; nothing in the file is executed.

    Args:
        weights: An ``.npz`` file, or arrays by name.

    Returns:
        The arrays, without the constants that TransformerLens keeps beside its weights.

    Raises:
        ValueError: If the file holds something else.
    """
    if isinstance(weights, Mapping):
        given = {name: np.asarray(values) for name, values in weights.items()}
    else:
        given = _read_file(weights)
    # Heads that share keys and values have names of their own there.
    named = {name.replace("attn._", "attn."): values for name, values in given.items()}
    return {name: values for name, values in named.items() if not _CONSTANTS.fullmatch(name)}


def check_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Check that arrays are those of one transformer.

    Args:
        arrays: Arrays by name.

    Returns:
        The sizes, by the words of the tables above, and the number of blocks as ``block``. The
        size ``hidden`` is missing where blocks have no feed-forward part.

    Raises:
        ValueError: If arrays are missing, not known, of another shape than the others ask for,
            or hold something else than finite numbers; all of them are listed.
    """
    num_blocks, in_block = _find_blocks(arrays)
    wanted = dict(_every_array(num_blocks, in_block))
    sizes = _find_sizes(arrays, wanted)
    problems = [f"no {name}" for name in wanted if name not in arrays]
    problems += [f"{name}, which is not known" for name in arrays if name not in wanted]
    for name, words in wanted.items():
        if name in arrays:
            problems += _find_problem(name, arrays[name], tuple(sizes.get(w) for w in words))
    if problems:
        raise ValueError(
            f"weights: expected the arrays of a transformer of {num_blocks} blocks by their names "
            f"in TransformerLens, got {'; '.join(problems)}"
        )
    return sizes | {"block": num_blocks}


def _read_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"weights: expected an .npz file of plain numbers, got {os.fspath(path)!r} ({error})"
        ) from error


def _find_blocks(arrays: Mapping[str, np.ndarray]) -> tuple[int, dict[str, Shape]]:
    """Count the blocks, and tell what each must hold."""
    found = [match.groups() for match in map(_BLOCK.fullmatch, arrays) if match]
    known = [(int(number), part) for number, part in found if part in IN_BLOCK]
    num_blocks = 1 + max((number for number, _ in known), default=0)
    further = any(part not in ATTENTION_ONLY for _, part in known)
    return num_blocks, IN_BLOCK if further else ATTENTION_ONLY


def _every_array(num_blocks: int, in_block: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    yield from OUTSIDE.items()
    for block in range(num_blocks):
        for name, words in in_block.items():
            yield f"blocks.{block}.{name}", words


def _find_sizes(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Shape]) -> dict[str, int]:
    """Return each size by a vote of the arrays that have it, so that the odd one is found."""
    votes: dict[str, Counter[int]] = {}
    for name, words in wanted.items():
        if name in arrays and arrays[name].ndim == len(words):
            for word, size in zip(words, arrays[name].shape, strict=True):
                votes.setdefault(word, Counter())[size] += 1
    return {word: count.most_common(1)[0][0] for word, count in votes.items()}


def _find_problem(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> list[str]:
    if array.shape != shape:
        return [f"{name} of shape {array.shape} in place of {shape}"]
    if not jnp.issubdtype(array.dtype, jnp.number):
        return [f"{name} of type {array.dtype}"]
    return [] if np.isfinite(array.astype(np.float64)).all() else [f"NaN or infinity in {name}"]
