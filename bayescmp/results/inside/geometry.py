"""The table of ``/geometry``: directions of keys, values and streams, beside their nulls."""

from collections.abc import Mapping

from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable

DIMENSIONS: dict[str, Dimension] = {
    "other_stream": Dimension("place in the residual stream that is compared with", start=None),
    "manifold_place": Dimension("values of a block, or place in the residual stream", start=None),
    "simplex_point": Dimension("belief that is drawn"),
    "simplex_value": Dimension("value that the belief is about"),
    "plane": Dimension("coordinate of a plane"),
    "family": Dimension("family of sequences, told apart by a latent site", start=None),
}
"""Axes that only this group has."""

_HEAD = ("seed", "block", "head")
_MANIFOLD = ("seed", "manifold_place")
_STREAM = ("seed", "stream")
_PAIR = ("seed", "stream", "other_stream")
_FAMILY = ("seed", "family")
_POINT = ("seed", "simplex_point", "plane")

_HEADS: Mapping[str, tuple[str, str]] = {
    "token_key_cosine": ("1", "mean absolute cosine of the keys of different tokens"),
    "key_column_cosine": ("1", "mean absolute cosine of columns of the key matrix"),
    "attention_entropy": ("bit", "mean entropy of a question's attention weights"),
    "spent_mass": ("1", "mean attention of a question on outcomes shown, which are ruled out"),
    "open_mass": ("1", "mean attention of a question on its own positions"),
    "alignment": (
        "1",
        "linear CKA of what the head writes with the exact predictive, both less the mean of "
        "their position",
    ),
}

_MANIFOLDS: Mapping[str, str] = {
    "pc1": "share of the variance along the first principal component, features z-scored",
    "pc12": "share of the variance along the first two principal components",
    "participation": "participation ratio of the variances along principal components",
    "entropy_rho": "absolute rank correlation of the first component with the exact entropy",
    "position_rho": "absolute rank correlation of the first component with the position",
}


def _controlled(
    name: str, dims: tuple[str, ...], units: str, what: str, *, required: bool = True
) -> dict[str, Variable]:
    """Put a measure beside its mean and spread over untrained networks."""
    return {
        name: Variable(dims, units, what, required=required),
        f"{name}_initial": Variable(
            dims, units, f"mean over untrained networks: {what}", required=required
        ),
        f"{name}_initial_sd": Variable(
            dims, units, f"standard deviation over untrained networks: {what}", required=required
        ),
    }


def _all_heads() -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for name, (units, what) in _HEADS.items():
        found |= _controlled(name, _HEAD, units, what, required=name == "alignment")
    for name in ("attention_entropy", "spent_mass", "open_mass"):
        units, what = _HEADS[name]
        found[f"{name}_even"] = Variable(
            ("seed",), units, f"looking everywhere evenly: {what}", required=False
        )
    return found


def _all_manifolds() -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for name, what in _MANIFOLDS.items():
        found |= _controlled(name, _MANIFOLD, "1", what)
    for name in ("pc1", "participation"):
        what = _MANIFOLDS[name]
        found[f"{name}_gaussian"] = Variable(
            _MANIFOLD, "1", f"independent normal features, as many rows: {what}"
        )
        found[f"{name}_permuted"] = Variable(
            _MANIFOLD, "1", f"each feature shuffled by itself: {what}"
        )
    return found


GROUP = Group(
    "directions of keys, values and residual streams, beside their nulls",
    {
        **_all_heads(),
        **_controlled(
            "embedding_cosine",
            ("seed",),
            "1",
            "mean absolute cosine of the embeddings of different tokens",
            required=False,
        ),
        **_all_manifolds(),
        **_controlled(
            "simplex_r2",
            _STREAM,
            "1",
            "share of the belief's variance that an affine map reads, held out",
        ),
        "simplex_exact": Variable(_POINT, "1", "exact beliefs as points of a plane"),
        "simplex_read": Variable(_POINT, "1", "beliefs read from the last stream, held out"),
        "simplex_initial": Variable(
            _POINT, "1", "beliefs read from the last stream of one untrained network"
        ),
        "simplex_corner": Variable(
            ("seed", "simplex_value", "plane"), "1", "where certainty of each value lies"
        ),
        "cka": Variable(_PAIR, "1", "linear CKA between places in the stream"),
        "cka_debiased": Variable(_PAIR, "1", "the same from unbiased estimates"),
        "cka_initial": Variable(_PAIR, "1", "mean over untrained networks: debiased linear CKA"),
        "overlap": Variable(
            _PAIR, "1", "mean squared cosine between principal subspaces of two places"
        ),
        "seed_cka": Variable(_STREAM, "1", "debiased linear CKA with other seeds, their mean"),
        "seed_overlap": Variable(
            _STREAM, "1", "overlap of principal components over the rows with other seeds"
        ),
        "family_pc1": Variable(
            _FAMILY, "1", "share along the first component within a family", required=False
        ),
        "family_pc1_random": Variable(
            _FAMILY, "1", "mean over random subsets of all, of the same size", required=False
        ),
        "family_pc1_chance": Variable(
            _FAMILY, "1", "chance of so large a share in one more random subset", required=False
        ),
        "family_participation": Variable(
            _FAMILY, "1", "participation ratio within a family", required=False
        ),
        "family_participation_random": Variable(
            _FAMILY, "1", "mean over random subsets of all, of the same size", required=False
        ),
        "effects": Variable(
            ("seed",), "1", "what stands out from untrained networks, and at which head", "str"
        ),
    },
    {
        "token_key_cosine_chance": Attribute("number", "exact mean for random keys", False),
        "key_column_cosine_chance": Attribute("number", "exact mean for random columns", False),
        "embedding_cosine_chance": Attribute("number", "exact mean for random rows", False),
        "overlap_chance": Attribute("number", "mean overlap of random subspaces of the stream"),
        "seed_overlap_chance": Attribute("number", "mean overlap of random subspaces of rows"),
        "overlap_rank": Attribute("number", "dimension of the subspaces that are compared"),
        "simplex_target": Attribute("text", "site that the belief is about, or predictive"),
        "family_site": Attribute("text", "latent site that tells families apart", False),
        "num_initial": Attribute("number", "untrained networks that were drawn"),
        "num_rows": Attribute("number", "questions that the measures are over"),
        "absent": Attribute("json", "list: what this network or process has not, in words"),
    },
    required=False,
)
"""Its variables and attributes."""
