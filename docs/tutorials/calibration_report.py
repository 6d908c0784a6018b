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
# # Reading a calibration report
#
# **Question.** Four predictors of the same dice: the exact one, one that is too sure, one that
# forgets the last roll, and one that exchanges two sides. Which of their faults does each
# diagnostic see, and which one can it not see?
#
# Runs in under two minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pandas as pd

from bayescmp import auditing

key = jax.random.key(5)


# %%
def die(length):
    sides = numpyro.sample("sides", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("roll", length):
        numpyro.sample("token", dist.Categorical(probs=sides))


model = bc.GenerativeModel(die, outcome="token", length=10)
oracle = bc.derive_oracle(model)

# %% [markdown]
# ## Predictors with one fault each


# %%
class TooSure(bc.AbstractPredictor):
    """The exact law to the power 1.25: temperature 0.8."""

    oracle: bc.Oracle
    name: str = eqx.field(static=True, default="too sure")

    def log_predictive(self, batch):
        return jax.nn.log_softmax(1.25 * self.oracle(batch).log_predictive)


class Forgetful(bc.AbstractPredictor):
    """The exact law before the last roll: right about what it knows, and it knows less."""

    oracle: bc.Oracle
    name: str = eqx.field(static=True, default="forgetful")

    def log_predictive(self, batch):
        law = self.oracle(batch).log_predictive
        return jnp.concatenate([law[..., :1, :], law[..., :-1, :]], axis=-2)


class Exchanged(bc.AbstractPredictor):
    """The exact law with two sides exchanged."""

    oracle: bc.Oracle
    name: str = eqx.field(static=True, default="exchanged")

    def log_predictive(self, batch):
        return self.oracle(batch).log_predictive[..., jnp.array([1, 0, 2])]


predictors = {
    "exact": oracle,
    "too sure": TooSure(oracle),
    "forgetful": Forgetful(oracle),
    "exchanged": Exchanged(oracle),
}

# %% [markdown]
# ## The diagnostics, side by side
#
# Each number below is a p-value: the chance of as much from a calibrated predictor. All of them
# treat sequences as the independent units; rolls of one sequence depend on each other.

# %%
judged = {
    name: auditing.judge(predictor, oracle, key=key, num_sequences=5_000)
    for name, predictor in predictors.items()
}
rows = {}
for name, one in judged.items():
    reliability = auditing.fit_reliability(one, key=key)
    coverage = auditing.check_coverage(one, key=key)
    place = auditing.locate_miscalibration(one, key=key)
    rows[name] = {
        "KL from exact, bits": bc.compare(
            predictors[name], oracle, key=key, ladder=[predictors["exchanged"]], num_sequences=256
        )["/divergence/mean_kl"].item(),
        "reliability": reliability.overall.p_value[0],
        "coverage": coverage.regions[0].p_value,
        "local": place.map_p_value,
    }
table = pd.DataFrame(rows).T
print(table.round(4).to_string())

# %% [markdown]
# The exact predictor raises no alarm at 1 % (at 5 % one in twenty does, by chance). The one that is
# too sure and the one that exchanges two sides are found by each. The forgetful one is
# *calibrated*: of the cases where it says 0.3, the outcome comes in 0.3, and its sets cover as
# they should. That is right, and says nothing against the tests: calibration is not accuracy. The
# local test sees it, since it asks whether predictions are right *given* the last roll, and so
# does the divergence from exact, in the first column.
#
# ## One call, one page
#
# `bc.audit` makes every audit and adds them to a comparison; `bc.write_report` puts them on one
# self-contained page, with a paragraph at each on how to read it and what it cannot show.

# %%
tree = bc.audit(
    predictors["too sure"],
    oracle,
    key=key,
    audits=["reliability", "coverage", "selective"],
    ladder=[predictors["exchanged"]],
)
bc.write_report(tree, "too_sure.html")
print(sorted(path for path in tree.groups if path.count("/") == 1))

# %%
bc.plots.plot_coverage(tree)

# %%
# The numbers in the text.
tests = ["reliability", "coverage", "local"]
assert table.loc["exact", tests].min() > 0.01
assert table.loc[["too sure", "exchanged"], tests].max(axis=None) < 0.05
assert table.loc["forgetful", ["reliability", "coverage"]].min() > 0.01
assert table.loc["forgetful", "local"] < 0.01
assert table.loc["forgetful", "KL from exact, bits"] > 0.02
