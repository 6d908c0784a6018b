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
# # Where inside a transformer does its belief stand, and is it used?
#
# **Question.** Mess3 is a hidden Markov process of three states whose beliefs form a fractal in a
# triangle. An affine map reads that fractal off a trained transformer. How much of it could be
# read off a network that nobody trained, where in the network does it come to be, and does the
# network use it?
#
# Source of the process and of the reading: Shai et al., arXiv 2405.15943. Runs in about two
# minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()  # before anything is computed

# %%
import jax

from bayescmp.plots import plot_ablations, plot_lenses, plot_simplex, plot_swaps

key_network, key_data, key_inside = jax.random.split(jax.random.key(2026), 3)

# %% [markdown]
# ## A network trained on sequences of eight
#
# There are 6,561 of them, so that everything below is a mean over all sequences, each weighted
# by its exact probability: no figure has a sampling error.

# %%
model = bc.models.Mess3(length=8)
oracle = bc.derive_oracle(model)
config = bc.TransformerConfig(num_layers=2, num_heads=2, model_size=32, mlp_size=64)
network = bc.build_network(config, model, key=key_network)
fit = bc.fit(network, model, oracle, steps=1_500, key=key_data)
seen = bc.inspection.record(fit.network, oracle, key=key_inside)
seen.is_exhaustive, seen.stream_names

# %% [markdown]
# ## What can be read, and what of it training has put there
#
# A score never comes alone. Beside it stand networks of the same shape before any training, the
# last tokens, the law of the next outcome, a wrong prior, shuffled labels and a random subspace.

# %%
probes = bc.inspection.fit_probes(seen, key=key_inside)
belief = probes.result("belief: state", "block 2")
belief

# %% [markdown]
# ## All instruments at once
#
# `examine` compares the network with the oracle and adds one group for each instrument.

# %%
tree = bc.examine(
    fit.network, oracle, key=key_inside, instruments=["lenses", "geometry", "interventions"]
)
plot_simplex(tree)

# %% [markdown]
# The triangle is there; so is a blurred one in the untrained network. What each place of the
# residual stream would answer, through three lenses:

# %%
plot_lenses(tree)

# %% [markdown]
# ## Is it used?
#
# That something can be read does not show that it is used. Replacing the stream of one sequence
# by that of another, at one place, has an exact counterfactual: the other's posterior. A margin
# above zero says that the answer has become the other's.

# %%
plot_swaps(tree)

# %%
plot_ablations(tree)

# %% [markdown]
# ## One sequence, token by token

# %%
bc.inspection.walk_through(seen)

# %%
score = belief.r_squared
assert (
    score.value > score.initial.max()
)  # training adds to what any network of this shape would show
margins = tree["/interventions/swap_mean"][0]
assert float(margins[0]) < 0 < float(margins[-1])  # the last place carries the answer
