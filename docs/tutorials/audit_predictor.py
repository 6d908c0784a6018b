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
# # Auditing somebody else's predictor
#
# **Question.** You are handed a function that predicts coin tosses, and told that it is Bayesian.
# No weights, no source. Is it?
#
# Runs in under two minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()

# %%
import jax
import numpy as np

from bayescmp import auditing
from bayescmp.networks import adapt

key = jax.random.key(21)
model = bc.models.beta_bernoulli(length=24)
oracle = bc.derive_oracle(model)

# %% [markdown]
# ## What you were handed
#
# A plain NumPy function of the tokens of one sequence (0 starts it, then 1 and 2 for the two sides)
# to probabilities at each place. It remembers the last eight tosses, and is proud of its
# confidence.


# %%
def their_model(tokens):
    heads = (tokens == 2).astype(float)
    shown = np.arange(len(tokens))
    recent = np.array([heads[max(1, n - 7) : n + 1].sum() for n in shown])
    share = (recent + 0.5) / (np.minimum(shown, 8) + 1.0)
    return np.stack([1 - share, share], axis=-1)


predictor = adapt(their_model, answers="prob", host_outcomes=2)

# %% [markdown]
# ## From outside
#
# Everything that needs no look inside works on any callable; instruments that do say so.

# %%
tree = bc.audit(predictor, oracle, key=key, num_sequences=1_024)
print(f"KL from exact: {tree['/divergence/mean_kl'].item():.4f} bits")
print(tree["/ladder/mean_kl"].to_series().round(4).to_string())

# %%
try:
    bc.examine(predictor, oracle, key=key)
    said = ""
except TypeError as error:
    said = str(error)
print(said)

# %% [markdown]
# ## Which Bayes is it nearest to?
#
# A rival that remembers the last eight tosses has the same memory, so the function should be
# nearer to it than to full inference. `memory_length` asks the same as a number: the shortest
# memory whose exact inference is nearer to the exact law than the predictor is.

# %%
window = bc.predictors.WindowPredictor(oracle, 8)
judged = auditing.judge(predictor, oracle, key=key, num_sequences=1_024)
log_window = auditing.judge(window, oracle, key=key, num_sequences=1_024).log_q


def divergence(log_p, log_q):
    return float((np.exp(log_p) * (log_p - log_q)).sum(-1).mean() / np.log(2))


from_exact = divergence(judged.log_p, judged.log_q)
from_window = divergence(log_window, judged.log_q)
print(f"from exact {from_exact:.4f} bits, from a memory of eight {from_window:.4f} bits")

# %% [markdown]
# ## Is it a posterior at all?
#
# Tosses of a coin can come in any order: a Bayesian forgets which one. This one does not, and a
# forecast of its own forecasts differs from it: its predictions are no martingale.

# %%
exchange = tree["/exchangeability"]
order_gap = exchange["order_gap"].item()
path_p = exchange["path_p_value"].values.ravel()
print(f"from one order of the same tosses to another: {order_gap:.3f} of probability moves")
print("its own futures are no martingale, p =", path_p)

# %% [markdown]
# ## What it should have said
#
# `confidence` returns the answer with the probability that was stated for it, a calibrated one
# (fitted on the sequences above), and the exact split of what is uncertain: by the coin's bias
# being unknown (epistemic), and by the toss (aleatoric). After seven heads in eight tosses:

# %%
calibrator = auditing.fit_calibrator(judged)
tosses = np.array([[1, 1, 1, 0, 1, 1, 1, 1] + [0] * 16])
batch = model.batch_from_sites({"token": tosses})
sure = auditing.confidence(predictor, oracle, batch, calibrator=calibrator)
stated, calibrated = sure.stated[0, 8], sure.calibrated[0, 8]
exact = np.exp(oracle(batch).log_predictive[0, 8, 1])
print(f"stated {stated:.2f}, calibrated {calibrated:.2f}, exact {exact:.2f}")
print(f"epistemic {sure.epistemic[0, 8] / np.log(2):.3f} bits, {sure.how}")

# %%
bc.plots.plot_divergence(tree)

# %%
# The numbers in the text.
assert from_window < from_exact
assert "trace" in said
assert order_gap > 0.01
assert path_p.max() < 1e-3
assert calibrated < stated
