# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own process: from a NumPyro program to a verdict
#
# **Question.** A machine draws from one of two urns and, at some step nobody tells, begins to draw
# from the other. How near does a small recurrent network come to exact inference, when both the
# urn and the step are hidden?
#
# Runs in under two minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()  # one device for each core; before anything is computed

# %%
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.networks import GRUConfig
from bayescmp.plots import plot_ladder

key_network, key_data, key_compare = jax.random.split(jax.random.key(11), 3)

# %% [markdown]
# ## The program
#
# What is random is a `numpyro.sample`; what is constant is plain JAX. Nothing is subclassed.


# %%
def two_urns(length):
    shares = jnp.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    first = numpyro.sample("first", dist.Bernoulli(0.5))
    change = numpyro.sample("change", dist.DiscreteUniform(1, length))
    for step in range(length):
        urn = jnp.where(step < change, first, 1 - first)
        numpyro.sample(f"ball_{step}", dist.Categorical(probs=shares[urn]))


# %% [markdown]
# A loop gives each ball a site of its own. The library wants one site with an axis of steps, which
# a plate gives:


# %%
def urns(length):
    shares = jnp.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    first = numpyro.sample("first", dist.Bernoulli(0.5))
    change = numpyro.sample("change", dist.DiscreteUniform(1, length))
    urn = jnp.where(jnp.arange(length) < change, first, 1 - first)
    with numpyro.plate("step", length):
        numpyro.sample("ball", dist.Categorical(probs=shares[urn]))


model = bc.GenerativeModel(urns, outcome="ball", length=16)
oracle = bc.derive_oracle(model)
print(oracle.certificate)

# %% [markdown]
# Nobody wrote a posterior down. The certificate says which engine answers, why its answer is
# exact, and what became of each site. `certify` does not believe it: it sums the program's joint
# probability by brute force at a size where that is possible.

# %%
certification = bc.certify(bc.GenerativeModel(urns, outcome="ball", length=5))
print(certification)

# %% [markdown]
# ## What the oracle knows
#
# Beside the law of the next ball it has a belief of each hidden site. After five balls of colour 0
# and five of colour 2, it knows that the urn was exchanged, and when.

# %%
balls = jnp.array([0, 0, 0, 1, 0, 2, 2, 1, 2, 2, 2, 2, 1, 2, 2, 2])
answer = oracle(model.batch_from_sites({"ball": balls}))
change = np.asarray(answer.belief["change"])[-1]
print("exchanged at step", int(change.argmax()) + 1, "with probability", change.max().round(2))

# %% [markdown]
# ## What is refused
#
# A program that no exact engine covers is refused in one line that names the site. Then
# `derive_oracle(..., engine="monte carlo")` answers with a standard error on every probability.


# %%
def powers(length):
    exponent = numpyro.sample("exponent", dist.Gamma(2.0, 1.0))
    with numpyro.plate("step", length):
        numpyro.sample("ball", dist.Bernoulli(0.5**exponent))


try:
    bc.derive_oracle(bc.GenerativeModel(powers, outcome="ball", length=16), engine="conjugate")
    refused = "nothing was refused"
except ValueError as error:
    refused = str(error)
print(refused)

# %% [markdown]
# ## A network that is no transformer
#
# Any network of the zoo reads any model. Here is a gated recurrent unit.

# %%
config = GRUConfig(num_layers=1, model_size=48, mlp_size=96)
network = bc.build_network(config, model, key=key_network)
fit = bc.fit(network, model, oracle, steps=700, key=key_data)
tree = bc.compare(fit.network, oracle, key=key_compare, fits=[fit])
network_kl = tree["/divergence/mean_kl"].item()
ladder = tree["/ladder/mean_kl"].to_series()
print(ladder.round(4).to_string())
print(f"{'network':<16}{network_kl:.5f}")

# %%
plot_ladder(tree)

# %%
# The numbers in the text.
assert oracle.certificate.exact
assert certification.passed
assert change.argmax() + 1 == 5
assert change.max() > 0.4
assert "exponent" in refused or "conjugate" in refused
assert network_kl < ladder["window 3"]
