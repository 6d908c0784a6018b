"""Can a network that reasons over a grounded knowledge base hallucinate?

Question: A small clinic is written down as typed rules: exposure, diseases with shared
symptoms, loss of smell among them, a test, a case definition. Facts are told and statements
are asked; the exact law of the answer is the posterior, or says that there is none, because the
facts contradict each other or the word asked has no grounding. How much mass, and how much
confidence, do a constructed and trained networks put where the exact law has none? It is
claimed that a transformer which is a Bayesian network over a grounded knowledge base cannot
hallucinate.

Expectation: The network constructed to pass messages is exact on a base that is a tree, and near
on one with loops. Asked about facts that contradict each other it gives a normalised answer all
the same, often a sure one: nothing in it can say that there is no posterior. A word without
grounding it cannot be asked; that is the work of a look-up before it. Trained networks learn
to refuse what they were shown to be refused, and answer contradictions of kinds they never saw.

What would refute it: a constructed network that is off by more than 1e-6 on a tree; that
keeps mass away from facts without a posterior, or answers them with a coin's doubt; trained
networks that keep a hundredth of their mass on impossible answers where they saw such questions,
or that refuse the contradictions they did not see.

Every figure is one of held-out questions that each seed draws anew. Two pairs of a told finding
and an asked disease never occur in training (``held-out combination``), and two contradictions
do not, one of a finding told yes and no and one of the rules. "Confidence" is the larger of the
probabilities of no and yes. The group ``/grounding`` of the results has every figure by predictor,
exact inference among them, and kind of question. The constructed network and
belief propagation run in double precision; weights of zero are ``exp(-80)`` in the network, whose
inputs are finite, and stay zero in belief propagation, which then finds that no value is left.
A word without grounding is looked up for both, and answered "ungrounded".

Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import bayescmp as bc
from bayescmp import models
from bayescmp.networks.constructed import message_passing

Objective = Literal["rao_blackwell", "sampled"]

ARMS: tuple[Objective, ...] = ("rao_blackwell", "sampled")
"""What networks are trained on: exact laws, or drawn answers."""

CONSTRUCTED, PROPAGATION, PRIORS = "constructed", "belief propagation", "priors"
EXACT = "exact"

WORDS = ("horoscope", "sore knee")
"""Known words that no rule mentions."""

HELD_OUT = (("loss of smell(ann)", "covid(ann)"), ("fever(ann)", "flu(ann)"))
"""Diseases that are never asked in training where the finding is told."""

LEFT_OUT = ("cough(ann) and not cough(ann)", "positive test(ann) and not exposed(ann)")
"""Contradictions that never come in training."""

ANSWERED, SEEN, UNSEEN, WORD = (0, 1, 2), (3, 4), (5, 6), (7,)
"""Kinds of question: with a posterior; contradictions seen in training, unseen; and words."""

SURE = 0.9
"""Confidence from which on an answer counts as sure."""


@dataclass(frozen=True)
class Config:
    """What to run; the default is sized for two cores."""

    num_layers: int = 2
    num_heads: int = 4
    model_size: int = 64
    steps: int = 2_000
    batch_size: int = 64
    num_questions: int = 8
    """Statements asked in a sequence, all given the same facts."""
    learning_rate: float = 2e-2
    objectives: tuple[Objective, ...] = ARMS
    """What networks are trained on; the first is needed, and what is left out is NaN."""
    seeds: int = 5
    eval_sequences: int = 2_048


PRESETS = {
    "quick": Config(steps=60, batch_size=32, objectives=ARMS[:1], seeds=2, eval_sequences=256),
    "default": Config(),
    "paper": Config(num_layers=3, steps=20_000, batch_size=256, eval_sequences=8_192),
}

CLAIMS = (
    bc.Claim(
        "On a base that is a tree, the constructed network is exact",
        "/grounding/constructed_tree_error",
        1e-6,
        "below",
    ),
    bc.Claim(
        "Loops cost the constructed network less than 0.02 of total variation",
        "/grounding/constructed_loop_error",
        0.02,
        "below",
    ),
    bc.Claim(
        "Told contradictory facts, the constructed network puts its mass where none belongs",
        "/grounding/constructed_contradictory_mass",
        0.99,
        "above",
    ),
    bc.Claim(
        "It is surer of that than 0.75 on average, where a coin would be 0.5",
        "/grounding/constructed_contradictory_confidence",
        0.75,
        "above",
    ),
    bc.Claim(
        "Where it saw such questions, the trained network keeps 99 % of mass off the impossible",
        "/grounding/trained_seen_mass",
        0.01,
        "below",
    ),
    bc.Claim(
        "Told contradictions it never saw, it puts more than half of its mass where none belongs",
        "/grounding/trained_unseen_mass",
        0.5,
        "above",
    ),
    bc.Claim(
        "On combinations it never saw, it is off by less than 0.05 of total variation",
        "/grounding/trained_held_out_error",
        0.05,
        "below",
    ),
)


class Priors(bc.AbstractPredictor):
    """The exact answer to every question as if no fact had been told."""

    model: models.GroundedQueries
    name: str = PRIORS

    def log_predictive(self, batch: bc.Batch) -> jax.Array:
        """Answer from the priors."""
        untold = {name: jnp.zeros_like(facts) for name, facts in batch.shown.items()}
        sites = {**untold, "asked": batch.shown["asked"]}
        return jax.vmap(lambda example: self.model.engine(example).log_predictive)(sites)


def queries(config: Config, *, tree: bool = False, whole: bool = True) -> models.GroundedQueries:
    """Return the questions, to the clinic or the tree, with all combinations or without some."""
    base, findings = models.CLINIC, models.CLINIC_FINDINGS
    if tree:
        base, findings = models.WARD, models.WARD_FINDINGS
    return models.GroundedQueries(
        base,
        findings,
        WORDS,
        num_questions=config.num_questions,
        held_out=() if whole else HELD_OUT,
        left_out=() if whole else LEFT_OUT,
    )


def num_rounds(model: models.GroundedQueries) -> int:
    """Return the diameter of the base's graph: after so many rounds a tree is at rest."""
    return models.gate_graph(model.base.gates)[0].diameter


def construct(model: models.GroundedQueries) -> models.RowPredictor:
    """Build the network that passes messages over the gates, which its weights hold."""
    untold = jnp.zeros(len(model.findings) + 1, int)
    with jax.enable_x64(True):
        rows = eqx.filter_jit(models.query_rows)(model, untold)
        shape, depth = models.query_shape(model), num_rounds(model)
        network = message_passing(shape, depth, graph=rows, shared=True)
    return models.RowPredictor(model=model, network=network, name=CONSTRUCTED)


def rivals(model: models.GroundedQueries) -> dict[str, bc.AbstractPredictor]:
    """Return the constructed network, belief propagation with zeros kept, and the priors."""
    return {
        CONSTRUCTED: construct(model),
        PROPAGATION: models.QueryPropagation(model, num_rounds(model)),
        PRIORS: Priors(model=model),
    }


@dataclass(frozen=True)
class Answers:
    """Held-out questions with their kinds, exact laws, and those of every predictor."""

    kinds: np.ndarray
    exact: np.ndarray
    laws: Mapping[str, np.ndarray]

    def measure(self, name: str) -> dict[str, np.ndarray]:
        """Return each measure of a predictor at each question."""
        law, exact = self.laws[name], self.exact
        confidence = law[..., :2].max(axis=-1)
        return {
            "impossible_mass": np.where(exact == 0.0, law, 0.0).sum(axis=-1),
            "confidence": confidence,
            "sure": (confidence >= SURE).astype(float),
            "total_variation": 0.5 * np.abs(law - exact).sum(axis=-1),
        }

    def mean(self, name: str, measure: str, kinds: tuple[int, ...]) -> float:
        """Return a mean over the questions of some kinds; NaN where nobody answered any."""
        if name not in self.laws:
            return float("nan")
        chosen = self.measure(name)[measure][np.isin(self.kinds, kinds)]
        return float(chosen.mean()) if chosen.size else float("nan")


@eqx.filter_jit
def ask(predictor: bc.AbstractPredictor, batch: bc.Batch) -> jax.Array:
    """Return a predictor's log probabilities."""
    return predictor.log_predictive(batch)


def examine(
    config: Config,
    model: models.GroundedQueries,
    predictors: Mapping[str, bc.AbstractPredictor],
    networks: Mapping[str, Callable[[jax.Array], jax.Array]],
    *,
    seen: models.GroundedQueries,
    key: bc.Key,
) -> Answers:
    """Draw questions and let everybody answer them, networks in their own precision.

    What ``seen`` leaves out counts as unseen.
    """
    batch = eqx.filter_jit(model.sample)(config.eval_sequences, key=key)
    positions = model.asked_positions
    laws = {
        name: np.asarray(jax.nn.softmax(jax.vmap(network)(batch.inputs)[:, positions]), np.float64)
        for name, network in networks.items()
    }
    with jax.enable_x64(True):
        exact = np.exp(np.asarray(bc.derive_oracle(model)(batch).log_predictive))
        for name, predictor in predictors.items():
            laws[name] = np.exp(np.asarray(ask(predictor, batch)))
    laws[EXACT] = exact
    return Answers(models.question_kinds(seen, batch), exact, laws)


def train(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> dict[Objective, list[bc.Fit]]:
    """Train networks on both objectives, from the same weights and on the same sequences."""
    model = queries(config, whole=False)
    oracle = bc.derive_oracle(model)
    indices = workspace.seed_indices(config.seeds)
    pairs = [jax.random.split(jax.random.fold_in(key, index)) for index in indices]
    shape = bc.TransformerConfig(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        model_size=config.model_size,
        mlp_size=4 * config.model_size,
    )
    runs = {}
    for objective in config.objectives:
        path = workspace.checkpoint_path(indices[0])
        runs[objective] = list(
            bc.fit_seeds(
                [bc.Transformer.for_model(model, shape, key=start) for start, _ in pairs],
                model,
                oracle,
                keys=[data for _, data in pairs],
                training=bc.Training(
                    num_steps=config.steps,
                    batch_size=config.batch_size,
                    objective=objective,
                    optimiser=bc.Muon(learning_rate=config.learning_rate),
                ),
                checkpoint=path and path.with_stem(f"{path.stem}_{objective}"),
                resume=workspace.resume,
                progress=workspace.progress,
                description=objective,
            )
        )
    return runs


def tabulate(clinic: list[Answers], ward: list[Answers]) -> xr.Dataset:
    """Return every measure by seed, predictor and kind of question, and what claims name."""
    names = list(clinic[0].laws)
    every = range(len(models.KINDS))
    axes = ("seed", "predictor", "kind")
    table = xr.Dataset(
        coords={"seed": range(len(clinic)), "predictor": names, "kind": list(models.KINDS)}
    )
    for measure in ("impossible_mass", "confidence", "sure", "total_variation"):
        table[measure] = (
            axes,
            [
                [[each.mean(name, measure, (k,)) for k in every] for name in names]
                for each in clinic
            ],
        )
    counts = [[int((each.kinds == kind).sum()) for kind in every] for each in clinic]
    table["count"] = (("seed", "kind"), counts)
    for name, values in summarise(clinic, ward).items():
        table[name] = ("seed", values)
    return describe(table)


def summarise(clinic: list[Answers], ward: list[Answers]) -> dict[str, list[float]]:
    """Return what claims name, for each seed."""
    trained, sampled = ARMS
    contradictory = (*SEEN, *UNSEEN)
    return {
        "constructed_tree_error": [largest_error(each) for each in ward],
        "constructed_loop_error": [
            each.mean(CONSTRUCTED, "total_variation", ANSWERED) for each in clinic
        ],
        "constructed_contradictory_mass": [
            each.mean(CONSTRUCTED, "impossible_mass", contradictory) for each in clinic
        ],
        "constructed_contradictory_confidence": [
            each.mean(CONSTRUCTED, "confidence", contradictory) for each in clinic
        ],
        "propagation_misses": [
            each.mean(PROPAGATION, "impossible_mass", contradictory) for each in clinic
        ],
        "propagation_tree_misses": [
            each.mean(PROPAGATION, "impossible_mass", contradictory) for each in ward
        ],
        **{
            f"{who}_{what}": [each.mean(arm, measure, kinds) for each in clinic]
            for who, arm in (("trained", trained), ("sampled", sampled))
            for what, measure, kinds in (
                ("mass", "impossible_mass", tuple(range(len(models.KINDS)))),
                ("seen_mass", "impossible_mass", (*ANSWERED, *SEEN, *WORD)),
                ("unseen_mass", "impossible_mass", UNSEEN),
                ("unseen_confidence", "confidence", UNSEEN),
                ("held_out_error", "total_variation", (2,)),
                ("error", "total_variation", (0, 1)),
            )
        },
    }


def largest_error(answers: Answers) -> float:
    """Return how far the constructed network is off at most where there is a posterior."""
    gap = np.abs(answers.laws[CONSTRUCTED] - answers.exact).max(axis=-1)
    return float(gap[np.isin(answers.kinds, ANSWERED)].max())


MEANINGS = {
    "impossible_mass": "probability given to answers that are impossible",
    "confidence": "larger of the probabilities of no and yes",
    "sure": "share of questions with a confidence of 0.9 or more",
    "total_variation": "total variation distance to the exact law",
    "count": "questions that each mean is over",
    "constructed_tree_error": "largest error of the constructed network on a tree",
    "constructed_loop_error": "total variation of the constructed network where loops are",
    "constructed_contradictory_mass": "impossible mass, constructed, contradictory facts",
    "constructed_contradictory_confidence": "confidence, constructed, contradictory facts",
    "propagation_misses": "share of contradictions belief propagation misses, with loops",
    "propagation_tree_misses": "share of contradictions belief propagation misses, on a tree",
    "mass": "impossible mass, all questions",
    "seen_mass": "impossible mass, kinds of question seen in training",
    "unseen_mass": "impossible mass, contradictions not seen in training",
    "unseen_confidence": "confidence, contradictions not seen in training",
    "held_out_error": "total variation, combinations not seen in training",
    "error": "total variation, other questions with a posterior",
    "seed": "seed of the training run",
    "predictor": "who answers",
    "kind": "kind of question",
}
"""Meaning of every variable, apart from whose it is."""


def describe(table: xr.Dataset) -> xr.Dataset:
    """Say what every variable is."""
    trained = {"trained_": "trained on exact laws", "sampled_": "trained on drawn answers"}
    for name, variable in table.variables.items():
        text, whose = str(name), ""
        for prefix, meaning in trained.items():
            if text.startswith(prefix):
                text, whose = text.removeprefix(prefix), f"; {meaning}"
        variable.attrs = {"long_name": MEANINGS[text] + whose, "units": "1"}
    return table


def run(config: Config, *, key: bc.Key, workspace: bc.Workspace) -> xr.DataTree:
    """Train both arms, construct, and ask everybody; the comparison is that on exact laws."""
    clinic, ward = queries(config), queries(config, tree=True)
    runs = train(config, key=key, workspace=workspace)
    with_loops, on_tree = rivals(clinic), rivals(ward)
    del on_tree[PRIORS]  # nobody asks about it there
    seen = queries(config, whole=False)
    # Keys of seeds are folded in from 0 upwards; these lie far from them.
    key_compare, key_clinic, key_ward = (jax.random.fold_in(key, 2**31 - n) for n in (1, 2, 3))
    asked, asked_on_tree = [], []
    for number, index in enumerate(workspace.seed_indices(config.seeds)):
        networks = {arm: fits[number].network for arm, fits in runs.items()}
        keys = (jax.random.fold_in(each, index) for each in (key_clinic, key_ward))
        asked.append(examine(config, clinic, with_loops, networks, seen=seen, key=next(keys)))
        asked_on_tree.append(examine(config, ward, on_tree, {}, seen=ward, key=next(keys)))
    fits = runs[ARMS[0]]
    tree = bc.compare(
        [fit.network for fit in fits],
        bc.derive_oracle(clinic),
        key=key_compare,
        num_sequences=config.eval_sequences,
        ladder=[with_loops[PROPAGATION], with_loops[PRIORS]],
        fits=fits,
    )
    tree["/grounding"] = xr.DataTree(tabulate(asked, asked_on_tree))
    return tree


if __name__ == "__main__":
    raise SystemExit(bc.study_main("grounded_knowledge"))
