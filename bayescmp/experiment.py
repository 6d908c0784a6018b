"""The common work of a study: train some seeds, and compare them with the oracle."""

from collections.abc import Callable

import jax
import xarray as xr

from bayescmp._types import Key
from bayescmp.comparison.compare import compare
from bayescmp.comparison.held_out import EvaluationName
from bayescmp.derivation import derive_oracle
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike
from bayescmp.networks.transformer import Transformer, TransformerConfig
from bayescmp.training.loop import Training, fit
from bayescmp.workspace import Workspace

NetworkMaker = Callable[[AbstractGenerativeModel, Key], NetworkLike]
"""Build an untrained network for a model from a key."""


def train_and_compare(
    model: AbstractGenerativeModel,
    network: TransformerConfig | NetworkMaker,
    training: Training,
    *,
    seeds: int,
    key: Key,
    workspace: Workspace | None = None,
    num_sequences: int | None = None,
    evaluation: EvaluationName = "auto",
) -> xr.DataTree:
    """Train a network from several seeds and compare all of them with exact inference.

    Seed ``i`` starts from ``fold_in(key, i)``, which draws both its initial weights and
    its data, so more seeds never change the ones before.

    Args:
        model: Generative model.
        network: Shape of a transformer, or a function that builds another network.
        training: Settings of each run.
        seeds: Number of runs, at least one.
        key: Typed key of everything.
        workspace: Where checkpoints go, and whether to resume; none by default.
        num_sequences: Held-out sequences that the comparison draws; 4,096 by default.
        evaluation: Whether it draws, or takes every sequence; see ``compare``.

    Returns:
        The tree, without claims.

    Raises:
        ValueError: If ``seeds`` is less than one.
        TrainingDivergedError: If a run diverges.

    Example:
        >>> network = TransformerConfig(num_layers=2, num_heads=2, model_size=32, mlp_size=128)
        >>> training = Training(num_steps=1_000)
        >>> tree = train_and_compare(bc.models.beta_bernoulli(), network, training, seeds=5,
        ...                          key=jax.random.key(0))  # doctest: +SKIP
    """
    if seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {seeds}")
    workspace = workspace or Workspace()
    oracle = derive_oracle(model)
    make = _transformer_maker(network) if isinstance(network, TransformerConfig) else network
    fits = []
    for seed in range(seeds):
        key_network, key_data = jax.random.split(jax.random.fold_in(key, seed))
        fits.append(
            fit(
                make(model, key_network),
                model,
                oracle,
                key=key_data,
                training=training,
                checkpoint=workspace.checkpoint_path(seed),
                resume=workspace.resume,
                progress=workspace.progress,
                description=f"seed {seed + 1} of {seeds}",
            )
        )
    # Keys of seeds are folded in from 0 upwards; the comparison's lies far from them.
    key_compare = jax.random.fold_in(key, 2**31 - 1)
    networks = [result.network for result in fits]
    return compare(
        networks,
        oracle,
        key=key_compare,
        num_sequences=num_sequences,
        evaluation=evaluation,
        fits=fits,
    )


def _transformer_maker(config: TransformerConfig) -> NetworkMaker:
    return lambda model, key: Transformer.for_model(model, config, key=key)
