"""The one declarative table of what a comparison's DataTree holds.

Every group, variable and attribute of the tree stands here once, with its dimensions, unit
and meaning; :mod:`bayescmp.results.tree` builds and validates trees by this table,
:mod:`bayescmp.results.tree_file` saves and loads them, and figures quote its names.
Information is stored in bits, except the log probabilities of the example sequences, which
stay in nats. NaN marks a number that does not exist: a position that is not supervised, a bin
that nothing fell into.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bayescmp.results.graphs import DIMENSIONS_GRAPHS, GROUPS_GRAPHS
from bayescmp.results.inside import DIMENSIONS_INSIDE, GROUPS_INSIDE
from bayescmp.results.outside import DIMENSIONS_OUTSIDE, GROUPS_OUTSIDE
from bayescmp.results.vocabulary import STORED_TYPES as STORED_TYPES
from bayescmp.results.vocabulary import Attribute, Dimension, Group, Variable
from bayescmp.results.vocabulary import AttributeKind as AttributeKind
from bayescmp.results.vocabulary import Kind as Kind

SCHEMA_VERSION: str = "1"
"""Version of the table; a change that breaks a reader raises it."""

EVERY_SEQUENCE = "every sequence"
"""How the root attribute ``evaluation`` begins where means are over all sequences, weighted by
their exact probability, and nothing was drawn."""

DIMENSIONS: Mapping[str, Dimension] = MappingProxyType(
    {
        "seed": Dimension("seed of the training run"),
        "step": Dimension("optimiser step", "step"),
        "sequence": Dimension("example sequence"),
        "position": Dimension("asked outcome, in the order of asking"),
        "outcome": Dimension("value that the asked site can take"),
        "layer": Dimension("residual stream: 0 after the embedding, l after block l"),
        "block": Dimension("block of the network", start=1),
        "head": Dimension("attention head"),
        "input_position": Dimension("place in what the network reads", "token"),
        "source_position": Dimension("place that is attended to", "token"),
        "bin": Dimension("bin of predicted probability"),
        "rung": Dimension("rival explanation", start=None),
        "claim": Dimension("claim, in the order of the study"),
        **DIMENSIONS_INSIDE,
        **DIMENSIONS_OUTSIDE,
        **DIMENSIONS_GRAPHS,
    }
)
"""Every axis of the tree."""

_OF_POSITION = ("seed", "position")
_EXAMPLE = ("sequence", "position", "outcome")
_LENS = ("seed", "layer", "position")
_BINS = ("seed", "bin")

_MEASURES: Mapping[str, tuple[str, str]] = {
    "kl": ("bit", "KL divergence from the exact to the given predictive"),
    "total_variation": ("1", "total variation distance to the exact predictive"),
    "impossible_mass": ("1", "probability given to outcomes that are impossible"),
    "argmax_agreement": ("1", "chance that the likeliest outcome is an exact maximiser"),
}
_MEANS: Mapping[str, tuple[str, str]] = {
    **{
        f"mean_{name}": (unit, f"mean over positions: {what}")
        for name, (unit, what) in _MEASURES.items()
    },
    "mean_excess_log_loss": ("bit", "mean over positions: log loss on the outcomes above exact"),
    "entropy_mae_a": ("bit", "entropy MAE (A): mean of |H(q) - H(p)| over sequences, positions"),
    "entropy_mae_b": ("bit", "entropy MAE (B): mean over positions of |mean H(q) - mean H(p)|"),
}


def _table(rows: Mapping[str, tuple[str, str]], dims: tuple[str, ...]) -> dict[str, Variable]:
    """Give every row the same dimensions."""
    return {name: Variable(dims, unit, what) for name, (unit, what) in rows.items()}


_ROOT = Group(
    "what was compared, with what, where and when",
    attributes={
        "schema_version": Attribute("text", "version of this table"),
        "study": Attribute("text", "name of the study"),
        "model": Attribute("text", "pretty name of the generative model"),
        "preset": Attribute("text", "preset of the config"),
        "config": Attribute("json", "every field of the config"),
        "seeds": Attribute("json", "list of seeds"),
        "evaluation": Attribute(
            "text", "which sequences the figures are means over: drawn ones, or every sequence"
        ),
        "versions": Attribute("json", "package name to version"),
        "git_revision": Attribute("text", "git revision, or 'unknown'"),
        "device": Attribute("text", "where it ran"),
        "started": Attribute("text", "start, ISO 8601"),
        "wall_time_s": Attribute("number", "duration of the whole run in seconds"),
    },
)

_OBSERVED_DATA = Group(
    "a handful of example sequences, the same ones in all groups",
    {
        "outcome_value": Variable(("sequence", "position"), "1", "outcome that was drawn", "int"),
        "shown_text": Variable(
            ("sequence", "input_position"), "1", "what the network reads, as text", "str"
        ),
    },
)

_ORACLE = Group(
    "the exact predictive",
    {
        "entropy": Variable(("position",), "bit", "mean entropy of the exact predictive"),
        "log_predictive": Variable(
            _EXAMPLE, "nat", "log probability of each outcome, exact, examples"
        ),
    },
    {
        "certificate": Attribute(
            "json", "object: engine, exact, reason, sites {site: how}, error_nat, jittable"
        )
    },
)

_NETWORK = Group(
    "the network's predictive",
    {
        "entropy": Variable(_OF_POSITION, "bit", "mean entropy of the network's predictive"),
        "log_predictive": Variable(
            ("seed", *_EXAMPLE), "nat", "log probability of each outcome, network, examples"
        ),
    },
    {
        "architecture": Attribute("json", "object: kind and every size"),
        "num_parameters": Attribute("number", "count of trained numbers"),
    },
)

_DIVERGENCE = Group(
    "network against exact, means over sequences",
    {
        **_table(_MEASURES, _OF_POSITION),
        "kl_standard_error": Variable(
            _OF_POSITION, "bit", "standard error of kl over the sequences, 0 over every one"
        ),
        "excess_log_loss": Variable(
            _OF_POSITION, "bit", "log loss on the outcomes above that of the exact predictive"
        ),
        "entropy_gap_abs": Variable(_OF_POSITION, "bit", "mean of |H(q) - H(p)| (A, per position)"),
        "entropy_gap_of_means": Variable(
            _OF_POSITION, "bit", "|mean H(q) - mean H(p)| (B, per position)"
        ),
        "supervised": Variable(("position",), "1", "whether the position counts", "bool"),
        **_table(_MEANS, ("seed",)),
    },
)

_LADDER = Group(
    "rival explanations against exact, on the sequences of /divergence",
    {**_table(_MEASURES, ("rung", "position")), **_table(_MEANS, ("rung",))},
    {
        "best_constant_entropy_mae": Attribute(
            "number", "entropy MAE (A) of the best single number, in bits"
        )
    },
)

_LAYERS = Group(
    "inside the network; absent where it has no trace",
    {
        "kl": Variable(_LENS, "bit", "KL divergence from the exact predictive to the logit lens"),
        "kl_to_output": Variable(
            _LENS, "bit", "KL divergence from the network's output to the logit lens"
        ),
        "rung_kl": Variable(
            ("rung", "layer", "seed"), "bit", "mean KL divergence from the rung to the logit lens"
        ),
        "attention_entropy": Variable(
            ("seed", "block", "head", "input_position"),
            "bit",
            "mean entropy of the attention weights",
            required=False,
        ),
        "attention_pattern": Variable(
            ("block", "head", "input_position", "source_position"),
            "1",
            "attention weights, first seed, first example sequence",
            required=False,
        ),
    },
    required=False,
)

_CALIBRATION = Group(
    "predicted probabilities, binned, against frequencies and against exact probabilities",
    {
        "edges_low": Variable(("bin",), "1", "lower edge of the bin"),
        "edges_high": Variable(("bin",), "1", "upper edge of the bin"),
        "predicted": Variable(_BINS, "1", "mean predicted probability"),
        "observed": Variable(_BINS, "1", "frequency of the outcome"),
        "observed_low": Variable(_BINS, "1", "lower end of the frequency's interval"),
        "observed_high": Variable(_BINS, "1", "upper end of the frequency's interval"),
        "exact": Variable(_BINS, "1", "mean exact probability"),
        "count": Variable(_BINS, "1", "number of predicted probabilities", "int"),
        "weight": Variable(
            _BINS,
            "1",
            "number of predicted probabilities, each weighted by its sequence's probability",
            required=False,
        ),
        "ece": Variable(("seed",), "1", "expected calibration error against frequencies"),
        "exact_ece": Variable(
            ("seed",), "1", "expected calibration error against exact probabilities"
        ),
    },
    {"level": Attribute("number", "confidence level of the frequency's interval")},
)

_TRAINING = Group(
    "how the network was trained; absent where nothing was trained",
    {
        "loss": Variable(("seed", "step"), "bit", "training loss"),
        "excess": Variable(("seed", "step"), "bit", "training loss above the entropy floor"),
        "learning_rate": Variable(("step",), "1", "learning rate"),
    },
    {
        "objective": Attribute("text", "name of the objective"),
        "optimiser": Attribute("json", "object: name and every setting"),
        "batch_size": Attribute("number", "sequences in a step"),
        "num_steps": Attribute("number", "steps of each seed"),
        "num_sequences_seen": Attribute("number", "sequences of each seed"),
        "num_tokens_seen": Attribute("number", "input positions of each seed"),
        "flops_per_step": Attribute("number", "floating-point operations of a step"),
        "flops_total": Attribute("number", "floating-point operations, all seeds"),
        "seconds": Attribute("json", "list: training time of each seed in seconds"),
        "devices": Attribute("text", "devices the steps ran on"),
        "num_parameters": Attribute("number", "count of trained numbers"),
    },
    required=False,
)

_METRIC = "unit of the metric"
_CLAIMS = Group(
    "verdicts on the thresholds that the study fixed beforehand",
    {
        "statement": Variable(("claim",), "1", "the claim in words", "str"),
        "metric": Variable(("claim",), "1", "path of the variable judged", "str"),
        "metric_units": Variable(("claim",), "1", "unit of that variable", "str"),
        "rung": Variable(("claim",), "1", "rung compared with, or empty", "str"),
        "direction": Variable(("claim",), "1", "claimed side of the threshold", "str"),
        "threshold": Variable(("claim",), _METRIC, "threshold, the rung's value included"),
        "value": Variable(("claim", "seed"), _METRIC, "value of the metric"),
        "mean": Variable(("claim",), _METRIC, "mean over seeds"),
        "low": Variable(("claim",), _METRIC, "lower end of the interval of the mean"),
        "high": Variable(("claim",), _METRIC, "upper end of the interval of the mean"),
        "level": Variable(("claim",), "1", "confidence level of the interval"),
        "min_seeds": Variable(("claim",), "1", "seeds needed for a verdict", "int"),
        "verdict": Variable(("claim",), "1", "supported, refuted or inconclusive", "str"),
        "reason": Variable(("claim",), "1", "why, in words", "str"),
    },
    required=False,
)

SCHEMA: Mapping[str, Group] = MappingProxyType(
    {
        "/": _ROOT,
        "/observed_data": _OBSERVED_DATA,
        "/oracle": _ORACLE,
        "/network": _NETWORK,
        "/divergence": _DIVERGENCE,
        "/ladder": _LADDER,
        "/layers": _LAYERS,
        **GROUPS_INSIDE,
        "/calibration": _CALIBRATION,
        **GROUPS_OUTSIDE,
        **GROUPS_GRAPHS,
        "/training": _TRAINING,
        "/claims": _CLAIMS,
    }
)
"""Every group of the tree by its path."""
