"""Small recordings and their probes, made once for all tests of probes."""

from functools import cache

import jax

import bayescmp as bc
from bayescmp.inspection.probe_results import Probes
from bayescmp.inspection.probes import fit_probes
from bayescmp.inspection.recording import Recording, record
from bayescmp.models import Bijection, HiddenMarkov, Mess3, beta_bernoulli

LENGTH, NUM_PLACES, WIDTH = 4, 3, 6
CONFIG = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=WIDTH, mlp_size=8)
KEY = jax.random.key(7)


@cache
def oracle_of(model: bc.AbstractGenerativeModel) -> bc.AbstractOracle:
    return bc.derive_oracle(model)


MODELS = {
    "Mess3": Mess3(length=LENGTH),
    "bijection": Bijection(size=4),
    "coin": beta_bernoulli(length=LENGTH),
    "filtering": HiddenMarkov(num_states=3, num_symbols=3, length=LENGTH),
}


@cache
def recording_of(name: str, num: int | None = None, seed: int = 0) -> Recording:
    """Record a network that nobody trained on a small model."""
    network = bc.Transformer.for_model(MODELS[name], CONFIG, key=jax.random.key(seed))
    return record(network, oracle_of(MODELS[name]), key=KEY, num_sequences=num)


@cache
def probes_of(name: str, num: int | None = None) -> Probes:
    return fit_probes(recording_of(name, num), key=KEY, num_initial=3)
