"""The models by name, for the command line."""

from collections.abc import Callable
from dataclasses import dataclass

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.models.associative_recall import AssociativeRecall
from bayescmp.models.belief_network import Gate, belief_network, diagnosis, knowledge_base
from bayescmp.models.bijection import Bijection
from bayescmp.models.chain_pool import chain_pool
from bayescmp.models.changepoint import changepoint
from bayescmp.models.clinic import CLINIC, CLINIC_FINDINGS
from bayescmp.models.coin import beta_bernoulli
from bayescmp.models.computational_mechanics import RRXOR, EvenProcess, GoldenMean, Mess3
from bayescmp.models.context_tree import ContextTree
from bayescmp.models.factor_graph import FactorGraphModel
from bayescmp.models.gaussian_process import gaussian_process
from bayescmp.models.graph_structures import cycle
from bayescmp.models.grounded_queries import GroundedQueries
from bayescmp.models.grounding import Concept, KnowledgeBase, Rule
from bayescmp.models.hidden_markov import HiddenMarkov
from bayescmp.models.hidden_markov_mixture import hidden_markov_mixture
from bayescmp.models.hierarchical_normal import hierarchical_normal
from bayescmp.models.linear_regression import linear_regression, regression_pool
from bayescmp.models.logistic_regression import logistic_regression
from bayescmp.models.markov_chain import markov_chain
from bayescmp.models.prompt_matrix import dirichlet_mixture, prompt_matrix
from bayescmp.models.random_trees import RandomTrees
from bayescmp.models.sticky_hidden_markov import sticky_hidden_markov
from bayescmp.models.sula import sula
from bayescmp.models.table_laws import UniformTables
from bayescmp.models.unknown_hidden_markov import unknown_hidden_markov
from bayescmp.models.urns import Urns


@dataclass(frozen=True)
class ModelEntry:
    """A model at its usual size, and at one that a check by brute force can reach."""

    summary: str
    """One line for a list."""
    make: Callable[[], AbstractGenerativeModel]
    """Build the model at its usual size."""
    small: Callable[[], AbstractGenerativeModel]
    """Build the model small enough to check."""
    enumerable: bool = True
    """Whether enumeration can check the small one: all its latents are discrete, or can be
    replaced by few quadrature nodes."""
    monte_carlo: bool = False
    """Whether only Monte Carlo answers at the usual size."""


_SMALL_NETWORK = (
    Gate("rain", leak=0.2),
    Gate("sprinkler", leak=0.3),
    Gate("wet", ("rain", "sprinkler"), (0.9, 0.8), leak=0.05),
)

_SMALL_BASE = KnowledgeBase(
    entities=(("person", ("ann",)),),
    concepts=(Concept("flu", ("person",), 0.3), Concept("fever", ("person",))),
    rules=(Rule("fever(P)", ("flu(P)",), 0.8),),
)

REGISTRY: dict[str, ModelEntry] = {
    "bijection": ModelEntry(
        summary="a hidden permutation, shown pair by pair; asked: the value at each key",
        make=Bijection,
        small=lambda: Bijection(size=4),
    ),
    "coin": ModelEntry(
        summary="tosses of a coin with unknown bias; asked: the next toss",
        make=beta_bernoulli,
        small=lambda: beta_bernoulli(length=8),
    ),
    "hidden_markov": ModelEntry(
        summary="a hidden Markov chain with its matrices in the prompt; asked: the state",
        make=HiddenMarkov,
        small=lambda: HiddenMarkov(num_states=3, num_symbols=2, length=4),
    ),
    "sticky_hidden_markov": ModelEntry(
        summary="a hidden chain that rarely moves and is seen badly; asked: the state",
        make=sticky_hidden_markov,
        small=lambda: sticky_hidden_markov(num_states=3, num_symbols=2, length=3),
    ),
    "sticky_symbols": ModelEntry(
        summary="the same chain; asked: the next symbol",
        make=lambda: sticky_hidden_markov(asked="symbol"),
        small=lambda: sticky_hidden_markov(num_states=2, num_symbols=3, length=3, asked="symbol"),
    ),
    "hidden_markov_mixture": ModelEntry(
        summary="one of a pool of hidden Markov chains (GINC); asked: the next symbol",
        make=hidden_markov_mixture,
        small=lambda: hidden_markov_mixture(num_concepts=2, num_states=2, num_symbols=2, length=3),
    ),
    "unknown_hidden_markov": ModelEntry(
        summary="a hidden Markov chain with unknown matrices; asked: the next symbol",
        make=unknown_hidden_markov,
        small=lambda: unknown_hidden_markov(num_states=2, num_symbols=2, length=3),
        enumerable=False,
        monte_carlo=True,
    ),
    "mess3": ModelEntry(
        summary="three states whose beliefs fill a fractal; asked: the next token",
        make=Mess3,
        small=lambda: Mess3(length=4),
    ),
    "mess3_noisy": ModelEntry(
        summary="the same with x = 0.15, a = 0.6, as in published code; asked: the next token",
        make=lambda: Mess3(x=0.15, a=0.6),
        small=lambda: Mess3(x=0.15, a=0.6, length=4),
    ),
    "rrxor": ModelEntry(
        summary="two coins and their exclusive or, over and over; asked: the next bit",
        make=RRXOR,
        small=lambda: RRXOR(length=4),
    ),
    "golden_mean": ModelEntry(
        summary="bits without two zeros in a row; asked: the next bit",
        make=GoldenMean,
        small=lambda: GoldenMean(length=4),
    ),
    "even_process": ModelEntry(
        summary="bits whose ones come in even runs; asked: the next bit",
        make=EvenProcess,
        small=lambda: EvenProcess(length=4),
    ),
    "markov_chain": ModelEntry(
        summary="a fresh Markov chain with unknown rows; asked: the next token",
        make=markov_chain,
        small=lambda: markov_chain(num_states=2, length=5),
        enumerable=False,
    ),
    "markov_chain_2": ModelEntry(
        summary="the same with two tokens of memory; asked: the next token",
        make=lambda: markov_chain(num_states=2, order=2),
        small=lambda: markov_chain(num_states=2, length=5, order=2),
        enumerable=False,
    ),
    "chain_pool": ModelEntry(
        summary="one of a fixed pool of Markov chains; asked: the next token",
        make=chain_pool,
        small=lambda: chain_pool(num_chains=3, num_states=2, length=4),
    ),
    "context_tree": ModelEntry(
        summary="bits whose memory is an unknown tree; asked: the next bit",
        make=ContextTree,
        small=lambda: ContextTree(depth=2, length=5),
        enumerable=False,
    ),
    "prompt_matrix": ModelEntry(
        summary="prompts, each with an unknown law; asked: the token after each",
        make=prompt_matrix,
        small=lambda: prompt_matrix(num_prompts=2, num_tokens=3, length=3),
        enumerable=False,
    ),
    "dirichlet_mixture": ModelEntry(
        summary="tokens of a law with one of several Dirichlet priors; asked: the next one",
        make=dirichlet_mixture,
        small=lambda: dirichlet_mixture(length=4),
        enumerable=False,
    ),
    "urns": ModelEntry(
        summary="balls from one of several urns, put back; asked: the next colour",
        make=Urns,
        small=lambda: Urns(length=3),
    ),
    "urns_without_replacement": ModelEntry(
        summary="balls from one of several urns, kept out; asked: the next colour",
        make=lambda: Urns(replace=False),
        small=lambda: Urns(((2, 1), (1, 3)), length=3, replace=False),
    ),
    "changepoint": ModelEntry(
        summary="tokens whose law changes once; asked: the next token",
        make=changepoint,
        small=lambda: changepoint(length=4, regimes=((0.8, 0.2), (0.3, 0.7))),
    ),
    "associative_recall": ModelEntry(
        summary="key-value pairs, then keys again; asked: the value at each key",
        make=AssociativeRecall,
        small=lambda: AssociativeRecall(num_keys=3, num_values=2, num_pairs=2, num_queries=2),
    ),
    "sula": ModelEntry(
        summary="labels of stated reliability for one answer; asked: the answer",
        make=sula,
        small=lambda: sula(length=3),
    ),
    "diagnosis": ModelEntry(
        summary="findings and their causes behind noisy-OR gates; asked: every node",
        make=diagnosis,
        small=lambda: belief_network(_SMALL_NETWORK),
    ),
    "knowledge_base": ModelEntry(
        summary="a grounded knowledge base of AND and OR rules; asked: every node",
        make=knowledge_base,
        small=knowledge_base,
    ),
    "grounded_queries": ModelEntry(
        summary="facts told about a knowledge base; asked: what follows, if anything does",
        make=lambda: GroundedQueries(CLINIC, CLINIC_FINDINGS, ("horoscope", "sore knee")),
        small=lambda: GroundedQueries(
            _SMALL_BASE, ("flu(ann)", "fever(ann)"), ("horoscope",), num_questions=1
        ),
    ),
    "factor_graph": ModelEntry(
        summary="a graph with a loop and its tables in the prompt; asked: every variable",
        make=lambda: FactorGraphModel(cycle(6), UniformTables(low=0.05)),
        small=lambda: FactorGraphModel(cycle(3), UniformTables(low=0.05)),
    ),
    "random_trees": ModelEntry(
        summary="a tree of its own for each sequence in the prompt; asked: every variable",
        make=RandomTrees,
        small=lambda: RandomTrees(num_variables=3),
    ),
    "linear_regression": ModelEntry(
        summary="noisy linear functions with a Gaussian prior; asked: the bin of y at x",
        make=linear_regression,
        small=lambda: linear_regression(num_features=2, length=4, num_bins=4),
        enumerable=False,
    ),
    "regression_pool": ModelEntry(
        summary="noisy linear functions from a fixed pool; asked: the bin of y at x",
        make=regression_pool,
        small=lambda: regression_pool(num_tasks=3, num_features=2, length=3, num_bins=4),
        enumerable=False,
    ),
    "gaussian_process": ModelEntry(
        summary="noisy smooth functions; asked: the bin of y at x",
        make=gaussian_process,
        small=lambda: gaussian_process(num_features=1, length=4, num_bins=4),
        enumerable=False,
    ),
    "logistic_regression": ModelEntry(
        summary="labels whose log odds are linear in x; asked: the label at x",
        make=logistic_regression,
        small=lambda: logistic_regression(num_features=1, length=4, scale=0.5),
        monte_carlo=True,
    ),
    "hierarchical_normal": ModelEntry(
        summary="numbers of groups with a common mean; asked: the bin of the next number",
        make=hierarchical_normal,
        small=lambda: hierarchical_normal(num_groups=2, length=4, num_bins=4),
        enumerable=False,
    ),
}
