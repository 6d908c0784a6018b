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
# # Does a transformer learn to toss a coin like Bayes?
#
# **Question.** A coin of unknown bias is tossed 32 times. After each toss, how near is a
# trained transformer to the exact posterior predictive, at its output and at every layer?
#
# Runs in under two minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()  # one device for each core; before anything is computed

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.plots import plot_divergence, plot_layers

key_network, key_data, key_compare = jax.random.split(jax.random.key(2026), 3)

# %% [markdown]
# ## The process is a NumPyro program
#
# Nothing is subclassed, and nothing else describes the process: data is drawn from this
# function, and the exact answer is derived from it.


# %%
def coin(length):
    bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(bias))


model = bc.GenerativeModel(coin, outcome="token", length=32)

# %% [markdown]
# ## The exact answer, and why it is exact
#
# `derive_oracle` runs the program, finds that one Beta site is the probability of every
# Bernoulli outcome, and so uses Laplace's rule:
# $p(y_t = 1 \mid y_0 \ldots y_{t-1}) = (1 + \text{ones}) / (2 + t)$.

# %%
oracle = bc.derive_oracle(model)
print(oracle.certificate)

# %%
tosses = jnp.array([1, 1, 0, 1] + [0] * 28)
answer = oracle(model.batch_from_sites({"token": tosses}))
laplace = np.exp(answer.log_predictive[:5, 1])
print("p(next is 1) after 0 to 4 tosses:", laplace.round(3))

# %% [markdown]
# The certificate is not taken on trust. `certify` sums the program's joint probability over
# all outcomes and quadrature nodes of the bias, by brute force, at a size where that is possible.

# %%
small = bc.GenerativeModel(coin, outcome="token", length=8)
certification = bc.certify(small)
print(certification)

# %% [markdown]
# ## First a failure: the right entropy, the wrong law
#
# Papers have compared the *entropy* of a network's answer with the exact one. The predictor
# below swaps the two outcomes of the exact law. Its entropy is exact everywhere; its answers
# are wrong everywhere.


# %%
class Swapped(bc.AbstractPredictor):
    """The exact predictive with its two outcomes exchanged."""

    oracle: bc.Oracle
    name: str = eqx.field(static=True, default="swapped")

    def log_predictive(self, batch):
        return self.oracle(batch).log_predictive[..., ::-1]


swapped = bc.compare(Swapped(oracle), oracle, key=key_compare)["/divergence"]
print(f"entropy MAE: {swapped['entropy_mae_a'].item():.1e} bits")
print(f"KL from exact: {swapped['mean_kl'].item():.3f} bits")

# %% [markdown]
# So KL from the exact predictive is the figure to look at, and entropy is kept beside it only
# for comparison with the papers.
#
# ## Train a small transformer
#
# Batches are drawn from the program inside the compiled step. The loss is the cross-entropy
# against the exact predictive, which has the same expected gradient as the one against drawn
# tosses and less variance.

# %%
config = bc.TransformerConfig(num_layers=2, num_heads=2, model_size=32, mlp_size=128)
network = bc.Transformer.for_model(model, config, key=key_network)
fit = bc.fit(network, model, oracle, steps=1_000, key=key_data)
print(f"{fit.num_parameters:,} parameters, {fit.objective}, {fit.seconds:.0f} s")

# %% [markdown]
# ## Compare, beside rivals
#
# One call gives an `xarray.DataTree` with divergences by position and layer, calibration, and
# the ladder of rivals. A network must be seen beside them: "window 5" is exact inference that
# remembers the last five tosses only.

# %%
tree = bc.compare(fit.network, oracle, key=key_compare, fits=[fit])
ladder = tree["/ladder/mean_kl"].to_series().rename("KL from exact, bits")
network_kl = tree["/divergence/mean_kl"].item()
print(ladder.round(4).to_string())
print(f"{'network':<16}{network_kl:.6f}")

# %%
plot_divergence(tree)

# %% [markdown]
# ## Look inside
#
# The logit lens reads each layer out as if it were the last. Row 0 is the embedding, which
# knows the last toss and its position; the count of ones needs attention.

# %%
by_layer = tree["/layers/kl"].mean(("seed", "position"))
for layer, divergence in zip(by_layer["layer"].values, by_layer.values, strict=True):
    print(f"after layer {layer}: {divergence:.5f} bits from exact")

# %%
plot_layers(tree)

# %% [markdown]
# ## The report
#
# `bc.write_report(tree, "coin.html")` puts all of this on one self-contained page.
#
# One training run shows what is possible, not how reliable it is: claims in bayescmp's
# studies need five seeds.

# %%
# The numbers in the text.
assert oracle.certificate.exact
np.testing.assert_allclose(laplace, [1 / 2, 2 / 3, 3 / 4, 3 / 5, 4 / 6], rtol=1e-5)
assert certification.passed
assert swapped["entropy_mae_a"].item() < 1e-6 < 0.1 < swapped["mean_kl"].item()
assert network_kl < 1e-3 < ladder["window 5"]
assert by_layer[-1] < by_layer[0]
