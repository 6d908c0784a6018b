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
# # A transformer that passes messages, built by hand
#
# **Question.** It has been claimed that transformers *are* Bayesian networks, one layer being one
# round of belief propagation. Which weights do that, what can be seen of the messages in the
# residual stream, and what becomes of the claim where the graph has a loop?
#
# Source of the claim: Coppola, arXiv 2603.17063. Nothing is trained here. Runs in less than a
# minute on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()

# %%
import jax
import jax.numpy as jnp
import numpy as np

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.networks.constructed import message_passing, read_messages, watch_gate
from bayescmp.plots.axes import Room, house_style, stacked_panels, title_panel
from bayescmp.plots.labels import label_space
from bayescmp.plots.lines import Line, draw_lines
from bayescmp.plots.palette import LIGHT

# %% [markdown]
# ## Three variables and two factors
#
# Clouds bring rain, and rain makes the street wet. A factor is a table: its rows are the values
# (no, yes) of its first variable, its columns those of its second. The first table is the joint law
# of clouds and rain, the second the law of the street given rain.

# %%
names = ("cloudy", "rain", "wet")
chain = FactorGraph(scopes=((0, 1), (1, 2)), sizes=(2, 2, 2))
clouds_and_rain = [[0.54, 0.06], [0.16, 0.24]]
rain_and_street = [[0.95, 0.05], [0.20, 0.80]]
law = bc.models.FixedTables([clouds_and_rain, rain_and_street])
model = bc.models.FactorGraphModel(chain, law, names=names)
oracle = bc.derive_oracle(model)
print(oracle.certificate)

# %% [markdown]
# ## The street is wet
#
# Exact inference sums over what is hidden, one variable after the other. The street says nothing to
# the clouds directly: it makes rain likely, and rain makes clouds likely.

# %%
unseen, seen = (oracle(model.pose(known)).belief for known in ({}, {"wet": 1}))
before, after = (np.array([found[name][0, 1] for name in names]) for found in (unseen, seen))
for name, prior, posterior in zip(names, before, after, strict=True):
    print(f"{name:<8}{prior:.3f} -> {posterior:.3f}")

# %% [markdown]
# ## The same graph as a transformer reads it
#
# One row for the start, and one for each variable: its number, its evidence, and for each of its
# factors who else is in it and what the table says. A weight of zero stands there as `exp(-80)`.

# %%
batch = model.pose({"wet": 1})
shape = model.graph_shape
print(f"{batch.inputs.shape} features: {shape.block_sizes}")
print("evidence:", batch.inputs[1:, shape.block("evidence")].tolist())

# %% [markdown]
# ## Weights that pass messages
#
# `message_passing` writes down the weights of an ordinary transformer. Attention gathers, with a
# head for each neighbour, what this neighbour has to say *apart from what it was told from here*:
# the cavity message. The feed-forward part sums the factor's table over it. The graph needs two
# rounds, and so two layers.

# %%
network = message_passing(shape, num_rounds=chain.diameter)
config = network.config
print(f"{config.num_layers} layers, {config.num_heads} heads, width {config.model_size}")

trace = network.trace_layers(batch.inputs)
streams = jnp.concatenate([trace.resid_pre[:1], trace.resid_post])[:, 1:]  # at first, by layer
beliefs = jax.nn.softmax(network.read_out(streams))[..., 1]
rounds = propagate_rows(model.rows(model.engine_sites(batch)), chain.diameter)
print("transformer, layer by layer:\n", beliefs.round(3))
print("belief propagation, round by round:\n", jnp.exp(rounds.log_beliefs[..., 1]).round(3))

# %% [markdown]
# The read-out after layer `t` is belief propagation after `t` rounds. News travels by one factor at
# a time: after the first layer the clouds are as likely as before anything was seen (0.400), after
# the second they have heard of the street (0.727).
#
# ## The messages themselves
#
# They stand in the residual stream, each in a place of its own: the log-odds that a factor tells a
# variable. Points are read from the stream, lines are the messages of belief propagation.

# %%
in_stream = read_messages(shape, trace)[..., 1]  # layer, variable, slot
sent = (rounds.messages[..., 1] - rounds.messages[..., 0])[1:]
told = {"law to cloudy": (0, 0), "law to rain": (1, 0), "street to rain": (1, 1)}
colours = [LIGHT[name] for name in ("network", "rung-2", "rung-5")]


def plot_messages():
    places, space = np.arange(1, len(sent) + 1), label_space(list(told))
    with house_style():
        figure, (panel,) = stacked_panels([Room(1.9)], right=space)
        panel.set_xticks(places, [f"layer {place}" for place in places])
        lines = []
        for (name, place), colour in zip(told.items(), colours, strict=True):
            panel.plot(places, in_stream[:, *place], "o", color=colour, markersize=7)
            lines.append(Line(name, np.asarray(sent[:, *place])[None], colour))
        draw_lines(panel, places, lines, space)
        title_panel(panel, "log-odds that a factor sends (nats)")
    return figure


plot_messages()

# %%
largest = float(jnp.abs(in_stream - sent).max())
print(f"largest difference between the stream and the messages: {largest:.1e} nats")

# %% [markdown]
# ## AND and OR
#
# A gate is a factor of three variables whose table holds zeros and ones alone, and its network has
# one layer. The published construction is told as these two, attention as AND and the feed-forward
# part as OR; here both are tables. The premises are true with probabilities 0.6 and 0.7.

# %%
for name in ("and", "or"):
    print(f"{name.upper()}\n{watch_gate(name, (0.6, 0.7))}\n")

# %% [markdown]
# What the published construction calls OR is a sigmoid of the sum of the premises' log-odds. That
# is no OR (0.880) but the law of a conclusion that two factors tie to one premise each: 0.778.

# %%
published_or = watch_gate("sum of log odds", (0.6, 0.7)).answer
print(f"sum of log-odds: {published_or:.3f}")

# %% [markdown]
# Messages go backwards through a gate as well. With the table in the prompt, a true OR makes its
# first premise likelier (0.682), and seeing that the second is true explains it away again (0.600).

# %%
gate_graph = FactorGraph(scopes=((0,), (1,), (0, 1, 2)), sizes=(2, 2, 2))
or_table = np.eye(2)[np.logical_or.outer([0, 1], [0, 1]).astype(int)]
gate_law = bc.models.FixedTables([[0.4, 0.6], [0.3, 0.7], or_table])
gate_names = ("first", "second", "conclusion")
gate_model = bc.models.FactorGraphModel(gate_graph, gate_law, names=gate_names)
asked = {"conclusion": 1}, {"conclusion": 1, "second": 1}
inputs = jnp.stack([gate_model.pose(known).inputs for known in asked])
gate_network = message_passing(gate_model.graph_shape, gate_graph.diameter)
first = jax.nn.softmax(gate_network(inputs)[:, 1])[:, 1].round(3)
print(f"a true OR: {first[0]:.3f}; and its second premise is true: {first[1]:.3f}")

# %% [markdown]
# ## A third factor closes a loop
#
# Let every pair of three variables prefer to agree, by `J` nats for and against, and let the first
# prefer to be 1. What a variable says now comes back to it round the triangle, and counts as news.
# Weights for twenty rounds run on this graph as on any other. They do what belief propagation does,
# and that is no longer the exact answer.

# %%
strengths = np.linspace(0.0, 1.5, 7)
triangle = FactorGraph(scopes=((0,), (0, 1), (1, 2), (2, 0)), sizes=(2, 2, 2))
uniform = bc.models.UniformTables(low=0.0)  # the law of tables; here they are given
loop_model = bc.models.FactorGraphModel(triangle, uniform, evidence_prob=0.0)


def write_tables(strength):
    agreement = strength * np.array([1.0, -1.0, -1.0, 1.0])
    weights = np.exp(np.concatenate([[-0.4, 0.4], *[agreement] * 3]))
    return weights / weights.max()


entries = jnp.array([write_tables(strength) for strength in strengths])
loops = jax.vmap(lambda tables: loop_model.pose({}, entries=tables))(entries)
deep = message_passing(loop_model.graph_shape, num_rounds=20, shared=True)
answer = jax.nn.softmax(deep(loops.inputs)[:, 1:])[..., 1]
exact = jnp.exp(bc.derive_oracle(loop_model)(loops).log_predictive)[..., 1]
passed = bc.predictors.GraphPropagation(loop_model, 20).log_predictive(loops)
from_passing = float(jnp.abs(answer - jnp.exp(passed)[..., 1]).max())
too_sure = np.asarray(answer - exact)[:, 1]


def plot_loop():
    shown = {"transformer": (answer, "network"), "exact": (exact, "exact")}
    space = label_space(list(shown))
    with house_style():
        figure, (panel,) = stacked_panels([Room(1.9)], right=space)
        lines = [
            Line(name, np.asarray(probs[:, 1])[None], LIGHT[colour])
            for name, (probs, colour) in shown.items()
        ]
        panel.set_xlabel("J (nats)")
        draw_lines(panel, strengths, lines, space)
        title_panel(panel, "probability that the second variable is 1")
    return figure


plot_loop()

# %%
for strength, off in zip(strengths, too_sure, strict=True):
    print(f"J = {strength:.2f}: too sure by {off:.4f}")
print(f"from twenty rounds of belief propagation: at most {from_passing:.1e}")

# %% [markdown]
# Too sure by 0.02 at `J = 0.5` and by 0.16 at `J = 1`. A network that is *trained* on triangles can
# go two ways: to this error, or to the exact answer. Which one it takes tells belief propagation
# from Bayes, as nothing on a tree can: [the explanation](../belief_propagation.md) goes on.

# %%
# The numbers in the text.
assert largest < 1e-4
assert np.allclose(beliefs[-1], after, atol=1e-5)
assert np.allclose(beliefs[1:, 0], [0.400, 0.727], atol=1e-3)
assert np.isclose(beliefs[1, 0], before[0], atol=1e-5)  # no news yet
assert np.isclose(watch_gate("and", (0.6, 0.7)).answer, 0.42, atol=1e-5)
assert np.isclose(watch_gate("or", (0.6, 0.7)).answer, 0.88, atol=1e-5)
assert np.isclose(published_or, 0.778, atol=1e-3)
assert np.allclose(first, [0.682, 0.600], atol=1e-3)
assert from_passing < 1e-4
assert np.all(np.diff(too_sure) > 0)
assert np.allclose(too_sure[[2, 4]], [0.02, 0.16], atol=5e-3)
