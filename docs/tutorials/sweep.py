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
# # A sweep: depth and learning rate, several seeds, what is missing only
#
# **Question.** Does a second block help on a hidden permutation of eight symbols, at the learning
# rate that suits each?
#
# Runs in under two minutes on two cores. The last cell checks the numbers in the text.

# %%
import bayescmp as bc

bc.use_all_cores()

# %%
import time
from dataclasses import replace
from pathlib import Path

from bayescmp.studies import bijection

# %% [markdown]
# ## Configurations
#
# A study is a file with a frozen `Config`, presets, claims with thresholds, and `run`. A sweep runs
# it at several configurations, each from several seeds. Each pair is a cell, with a folder and a
# result of its own.

# %%
small = replace(bijection.PRESETS["quick"], size=8, steps=250, model_size=32, num_heads=2)
arms = {
    f"{depth} block(s), rate {rate}": replace(small, num_layers=depth, learning_rate=rate)
    for depth in (1, 2)
    for rate in (1e-2, 3e-2)
}
result = bc.run_sweep(bijection, arms, seeds=2, out=Path("sweep"))
kl = {name: tree["/divergence/mean_kl"].values for name, tree in result.trees.items()}
for name, values in kl.items():
    print(f"{name:<24}", values.round(5))

# %% [markdown]
# ## Again: only what is missing
#
# The same call finds every cell done. A third seed would run only the third seeds. A cell that
# failed, or whose process died, is tried again, from its checkpoint where there is one.

# %%
start = time.perf_counter()
again = bc.run_sweep(bijection, arms, seeds=2, out=Path("sweep"))
seconds = time.perf_counter() - start
print(f"{seconds:.1f} s")

# %% [markdown]
# ## Beyond one machine
#
# `bayescmp sweep bijection --vary num_layers=1,2 --seeds 5 --workers 4` starts four processes;
# `--shard 2/8` performs an eighth of the cells, for any scheduler; Slurm is reached by `--slurm`.
# The files are the same.

# %%
print(sorted(path.name for path in Path("sweep").iterdir() if path.is_file()))

# %%
bc.plots.plot_ladder(result.trees["2 block(s), rate 0.01"])

# %%
# The numbers in the text.
assert set(kl) == set(arms)
assert all(values.shape == (2,) for values in kl.values())
assert again.trees.keys() == result.trees.keys()
assert all((again.trees[name]["/divergence/mean_kl"].values == kl[name]).all() for name in arms)
assert seconds < 10
