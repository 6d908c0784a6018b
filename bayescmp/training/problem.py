"""What stays the same during a run, from the networks and settings that a user gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree
from jaxtyping import Key as KeyArray

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, check_answers
from bayescmp.oracle import AbstractOracle
from bayescmp.training.devices.mesh import SEED_AXIS, training_mesh
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.optimisers import Optimiser
from bayescmp.training.places import RandomPlaces, check_places
from bayescmp.training.precision import Precision, choose_precision
from bayescmp.training.settings import Training, choose_objective, first_steps, question_weights

Keys = KeyArray[Array, " seed"]
"""Root key of each seed's data."""


@dataclass(frozen=True)
class Problem:
    """Everything that stays the same during a run."""

    model: AbstractGenerativeModel
    oracle: AbstractOracle | None
    objective: ObjectiveName
    optimiser: Optimiser
    num_steps: int
    """Length of the whole run, which the learning rate's schedule needs."""
    static: NetworkLike
    """The network without its trainable arrays, the same for each seed."""
    num_seeds: int
    """Networks that are trained together."""
    batch_size: int
    """Sequences in a step of one seed."""
    mesh: Mesh
    """Axes for seeds and for sequences."""
    accumulate: int = 1
    """Parts of a batch that are computed one after the other."""
    weights: tuple[float, ...] | None = None
    """How much each question counts; None weighs all alike."""
    first_steps: tuple[int, ...] | None = None
    """Step from which each question counts; None counts all from the start."""
    places: RandomPlaces | None = None
    """How places of inputs are drawn; None puts one after the other."""
    precision: Precision = "float32"
    average: float | None = None
    """Decay of the moving average of the weights; None keeps none."""
    vectorised: bool = False
    """Whether the seeds of one device take each step together, by ``vmap``, or one seed takes
    all steps of a chunk before the next one does. Larger arrays are good for an accelerator
    and bad for the cache of a core: a step of four seeds, measured as in
    :func:`~bayescmp.training.devices.mesh.share_work`, took 146 ms by ``vmap``, 133 without."""


def pose(
    networks: Sequence[NetworkLike],
    model: AbstractGenerativeModel,
    oracle: AbstractOracle | None,
    training: Training,
) -> tuple[Problem, PyTree[np.ndarray]]:
    """Gather what stays the same during a run, and the arrays that are trained.

    Args:
        networks: Networks of one architecture, one for each seed.
        model: Generative model.
        oracle: Oracle of the model, if there is one.
        training: Settings.

    Returns:
        The problem, and the trainable arrays with the axis ``seed`` in front.

    Raises:
        ValueError: If networks, model and settings do not fit each other.
    """
    params, static = _stack(networks)
    check_answers(networks[0], model)
    check_places(training.places, networks[0], model)
    usable = oracle is not None and oracle.certificate.jittable
    problem = Problem(
        model=model,
        oracle=oracle if usable else None,
        objective=choose_objective(training, oracle),
        optimiser=training.optimiser,
        num_steps=training.num_steps,
        static=static,
        num_seeds=len(networks),
        batch_size=training.batch_size,
        mesh=training_mesh(
            len(networks), training.batch_size // training.accumulate, training.num_devices
        ),
        accumulate=training.accumulate,
        weights=question_weights(training, model.length),
        first_steps=first_steps(training, model.length),
        places=training.places,
        precision=choose_precision(training.precision),
        average=training.average,
        vectorised=jax.default_backend() != "cpu",
    )
    return problem, params


def stack_keys(keys: Sequence[Key]) -> Keys:
    """Stack keys, wherever they lie.

    Args:
        keys: Typed keys of the data, one for each seed.

    Returns:
        A key array with the axis ``seed``.
    """
    data = jnp.asarray(np.stack([jax.random.key_data(key) for key in keys]))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(keys[0]))


def place(problem: Problem, tree: PyTree) -> PyTree[Array]:
    """Put arrays with the axis ``seed`` in front on the devices of a problem.

    Args:
        problem: What is trained, and on what.
        tree: Arrays, wherever they are.

    Returns:
        The same arrays, as compiled chunks expect them.
    """
    sharding = NamedSharding(problem.mesh, P(SEED_AXIS))
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(partial(_place_everywhere, sharding), tree)


def _place_everywhere(sharding: NamedSharding, leaf: Array | np.ndarray) -> Array:
    """Put an array that all processes have on the devices of all."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _place_everywhere(sharding, jax.random.key_data(leaf))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    values = np.asarray(leaf)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def _stack(networks: Sequence[NetworkLike]) -> tuple[PyTree[np.ndarray], NetworkLike]:
    """Stack the trainable arrays of networks that differ in nothing else."""
    if not networks:
        raise ValueError("networks: expected at least one, got none")
    parts = [eqx.partition(network, eqx.is_inexact_array) for network in networks]
    (first, static), others = parts[0], parts[1:]
    if not jax.tree.leaves(first):
        raise ValueError(
            f"network: expected a module with trainable arrays, got {type(networks[0]).__name__} "
            "without any (arrays inside a plain function are out of reach)"
        )
    for number, (params, rest) in enumerate(others, start=1):
        if _shapes(params) != _shapes(first) or not eqx.tree_equal(rest, static):
            raise ValueError(
                "networks: expected networks that differ in their weights alone, got another "
                f"architecture for seed {number}; train them one at a time"
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(part for part, _ in parts)), static


def _shapes(params: PyTree[Array]) -> tuple[object, list[object]]:
    leaves, structure = jax.tree.flatten(params)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]
