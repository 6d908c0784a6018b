"""What holds for every optimiser, and three steps of each by hand."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from optimiser_cases import (
    OPTIMISERS,
    assert_close,
    assert_same_bits,
    random_tree,
    stack,
    take_steps,
)

import bayescmp as bc
from bayescmp.training.optimisers import SGD, Adam, Lion, Optimiser, ScheduleFree

EVERY = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)


# ----------------------------------------------------------------------- laws


@EVERY
def test_minimises_a_convex_quadratic(optimiser: Optimiser):
    start, target = random_tree(0), random_tree(1)
    quick = dataclasses.replace(optimiser, learning_rate=0.05, clip=10.0)
    transformation = quick.build(300)

    def loss(params):
        # The curvature differs by a factor of three from parameter to parameter.
        terms = jax.tree.map(lambda a, b: jnp.sum(jnp.square(a - b)), params, target)
        weights = (1.0, 1.5, 2.0, 3.0)
        return sum(w * term for w, term in zip(weights, jax.tree.leaves(terms), strict=True))

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            updates, state = transformation.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(
            step, (params, transformation.init(params)), None, length=300
        )
        return loss(quick.evaluation_params(state, params))

    # Each way of stepping can move a parameter by 5 or more in all, and targets are about 1
    # away. A hundredth of the loss is a tenth of the distance.
    assert run(start) < 0.01 * loss(start)


@EVERY
def test_state_is_arrays_and_seeds_are_a_batch(optimiser: Optimiser):
    seeds = [random_tree(0), random_tree(1)]
    grads = [[random_tree(2), random_tree(3)], [random_tree(4), random_tree(5)]]
    batched = jax.vmap(lambda params, grads: take_steps(optimiser, params, grads))
    found, state = batched(stack(seeds), [stack(each) for each in zip(*grads, strict=True)])
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    evaluated = optimiser.evaluation_params(state, found)
    for seed in range(2):
        alone, alone_state = take_steps(optimiser, seeds[seed], grads[seed])
        pick = jax.tree.map(lambda leaf, seed=seed: leaf[seed], (found, evaluated))
        # Newton-Schulz iterations amplify rounding, which batching changes.
        expected = (alone, optimiser.evaluation_params(alone_state, alone))
        assert_close(pick, expected, rtol=1e-3, atol=1e-4)


@EVERY
def test_clip_is_a_shorter_gradient(optimiser: Optimiser):
    params, second = random_tree(0), random_tree(2, size=0.01)
    first = random_tree(1, size=100.0)
    norm = float(np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(first))))
    shorter = jax.tree.map(lambda leaf: leaf / norm, first)
    found, _ = take_steps(dataclasses.replace(optimiser, clip=1.0), params, [first, second])
    free = dataclasses.replace(optimiser, clip=float("inf"))
    expected, _ = take_steps(free, params, [shorter, second])
    assert_close(found, expected, rtol=1e-3, atol=1e-4)
    wild, _ = take_steps(free, params, [first, second])
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (wild, found)), strict=True)]
    # Whoever divides by a size, or takes a sign, differs in the second step only.
    assert max(moved) > 0.1 * optimiser.learning_rate


@EVERY
def test_gradients_of_sixteen_bits_count_as_their_values(optimiser: Optimiser):
    params = random_tree(0)
    grads = [random_tree(seed, dtype=jnp.bfloat16) for seed in (1, 2)]
    exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), grads)
    found, state = take_steps(optimiser, params, grads)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    assert_close((found, state), take_steps(optimiser, params, exact), rtol=1e-6)


@EVERY
def test_record_can_be_a_key_and_prints_as_code(optimiser: Optimiser):
    assert hash(optimiser) == hash(dataclasses.replace(optimiser))
    other = dataclasses.replace(optimiser, learning_rate=0.5)
    assert len({optimiser, dataclasses.replace(optimiser), other}) == 2
    assert eval(repr(optimiser), {type(optimiser).__name__: type(optimiser)}) == optimiser


@EVERY
def test_weights_to_evaluate_are_the_trained_ones_unless_it_averages(optimiser: Optimiser):
    grads = [random_tree(1), random_tree(2)]
    params, state = take_steps(optimiser, random_tree(0), grads)
    evaluated = optimiser.evaluation_params(state, params)
    if isinstance(optimiser, ScheduleFree):
        gap = np.abs(evaluated["embedding"] - params["embedding"]).max()
        assert gap > 0.01 * optimiser.learning_rate
    else:
        assert evaluated is params


# ------------------------------------------------------------ three steps by hand

GRADS = np.array([[0.3, -0.2, 0.05], [-0.1, 0.4, 0.2], [0.2, 0.1, -0.3]])
START = np.array([1.0, -2.0, 0.5])
RATE, DECAY, B1, B2 = 0.1, 0.3, 0.8, 0.95


def three_steps(optimiser):
    settings = {"learning_rate": RATE, "weight_decay": DECAY, "schedule": "constant"}
    plain = dataclasses.replace(optimiser, **settings, warmup=0.0, clip=float("inf"))
    grads = [{"w": jnp.asarray(grad, jnp.float32)} for grad in GRADS]
    params, state = take_steps(plain, {"w": jnp.asarray(START, jnp.float32)}, grads)
    return params["w"], plain.evaluation_params(state, params)["w"]


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_three_steps_of_sgd(momentum: float):
    weights, kept = START, np.zeros(3)
    for grad in GRADS:
        kept = momentum * kept + grad + DECAY * weights
        weights = weights - RATE * kept
    found, _ = three_steps(SGD(momentum=momentum))
    np.testing.assert_allclose(found, weights, rtol=1e-6)


def test_three_steps_of_sgd_with_nesterov_momentum():
    weights, kept = START, np.zeros(3)
    for grad in GRADS:
        whole = grad + DECAY * weights
        kept = 0.7 * kept + whole
        weights = weights - RATE * (whole + 0.7 * kept)
    found, _ = three_steps(SGD(momentum=0.7, nesterov=True))
    np.testing.assert_allclose(found, weights, rtol=1e-6)


@pytest.mark.parametrize("decoupled", [False, True])
def test_three_steps_of_adam(decoupled: bool):
    weights, mean, square = START, np.zeros(3), np.zeros(3)
    for step, grad in enumerate(GRADS, start=1):
        whole = grad if decoupled else grad + DECAY * weights
        mean = B1 * mean + (1 - B1) * whole
        square = B2 * square + (1 - B2) * whole**2
        direction = (mean / (1 - B1**step)) / (np.sqrt(square / (1 - B2**step)) + 1e-8)
        weights = weights - RATE * (direction + DECAY * weights * decoupled)
    found, _ = three_steps(bc.AdamW(b1=B1, b2=B2) if decoupled else Adam(b1=B1, b2=B2))
    # 1 - 0.95 keeps five digits in 32 bits.
    np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_three_steps_of_lion():
    weights, mean = START, np.zeros(3)
    for grad in GRADS:
        direction = np.sign(B1 * mean + (1 - B1) * grad)
        mean = B2 * mean + (1 - B2) * grad
        weights = weights - RATE * (direction + DECAY * weights)
    found, _ = three_steps(Lion(b1=B1, b2=B2))
    np.testing.assert_allclose(found, weights, rtol=1e-6)


def test_four_steps_of_schedule_free_with_warmup():
    optimiser = ScheduleFree(
        learning_rate=RATE, weight_decay=DECAY, b1=B1, b2=B2, warmup=0.5, clip=float("inf")
    )
    grads = [*GRADS, GRADS[0]]
    moved = averaged = trained = START
    square, total = np.zeros(3), 0.0
    for step, (grad, share) in enumerate(zip(grads, [0.5, 1.0, 1.0, 1.0], strict=True), start=1):
        speed = share * RATE
        square = B2 * square + (1 - B2) * grad**2
        direction = grad / (np.sqrt(square / (1 - B2**step)) + 1e-8)
        moved = moved - speed * (direction + DECAY * trained)
        total += speed**2
        averaged = averaged + speed**2 / total * (moved - averaged)
        trained = (1 - B1) * moved + B1 * averaged
    trees = [{"w": jnp.asarray(grad, jnp.float32)} for grad in grads]
    params, state = take_steps(optimiser, {"w": jnp.asarray(START, jnp.float32)}, trees)
    np.testing.assert_allclose(params["w"], trained, rtol=1e-5)
    evaluated = optimiser.evaluation_params(state, params)
    np.testing.assert_allclose(evaluated["w"], averaged, rtol=1e-5)


# --------------------------------------------------------------- weight decay


@pytest.mark.parametrize("name", [name for name in OPTIMISERS if name not in ("Adam",)])
def test_weight_decay_shrinks_every_parameter(name: str):
    params = random_tree(0)
    nothing = jax.tree.map(jnp.zeros_like, params)
    settings = {"learning_rate": 0.1, "weight_decay": 0.5, "warmup": 0.0}
    found, _ = take_steps(dataclasses.replace(OPTIMISERS[name], **settings), params, [nothing])
    # Nesterov's momentum looks 0.9 of a step ahead.
    share = 0.05 * (1.9 if "Nesterov" in name else 1.0)
    assert_close(found, jax.tree.map(lambda leaf: (1 - share) * leaf, params))


def test_adam_without_weight_decay_is_adamw_without():
    params, grads = random_tree(0), [random_tree(1), random_tree(2)]
    found, _ = take_steps(Adam(), params, grads)
    expected, _ = take_steps(bc.AdamW(), params, grads)
    assert_same_bits(found, expected)


# ----------------------------------------------------------------------- Muon


def test_muon_orthogonalises_every_matrix_of_a_stack_by_itself():
    params, grads = random_tree(0), random_tree(1)
    muon = bc.Muon(learning_rate=1.0, warmup=0.0)
    after, _ = take_steps(muon, params, [grads])
    change = {
        name: np.asarray(after["blocks"][name] - params["blocks"][name])
        for name in ("query", "value")
    }
    values = np.linalg.svd(np.stack([*change.values()]), compute_uv=False)
    # Five Newton-Schulz iterations leave singular values between about 0.7 and 1.2.
    assert values.min() > 0.5
    assert values.max() < 1.6
    # A matrix of its own, with the same gradient, gets the same update.
    alone, grad = params["blocks"]["query"][:1], grads["blocks"]["query"][:1]
    single, _ = take_steps(muon, {"only": alone}, [{"only": grad}])
    np.testing.assert_allclose(change["query"][:1], single["only"] - alone, atol=2e-3)


def test_muon_treats_embeddings_norms_and_biases_by_adam():
    params, grads = random_tree(0), random_tree(1)
    muon = bc.Muon(learning_rate=0.5, warmup=0.0, clip=1e9)
    found, _ = take_steps(muon, params, [grads])
    adam = optax.adam(0.5, b2=0.99, nesterov=True)
    updates, _ = adam.update(grads, adam.init(params), params)
    expected = optax.apply_updates(params, updates)
    assert_close(found["embedding"], expected["embedding"])
    assert_close(found["blocks"]["norm"], expected["blocks"]["norm"])


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (bc.AdamW, {"learning_rate": 0.0}, "learning_rate: expected a positive number for AdamW"),
        (bc.Muon, {"learning_rate": -1.0}, "learning_rate: expected a positive number for Muon"),
        (SGD, {"learning_rate": float("inf")}, "learning_rate: expected a positive number for SGD"),
        (Adam, {"weight_decay": -0.1}, "weight_decay: expected zero or a positive number"),
        (bc.AdamW, {"b1": 1.0}, "b1: expected a number from 0 up to 1, got 1.0"),
        (Lion, {"b2": -0.5}, "b2: expected a number from 0 up to 1, got -0.5"),
        (bc.Muon, {"momentum": 1.5}, "momentum: expected a number from 0 up to 1, got 1.5"),
        (bc.Muon, {"warmup": 1.0}, "warmup: expected a share from 0 up to 1, got 1.0"),
        (bc.AdamW, {"clip": float("nan")}, "clip: expected a positive norm, got nan"),
        (bc.AdamW, {"final": 1.5}, "final: expected a share from 0 to 1, got 1.5"),
        (SGD, {"schedule": "step"}, "schedule: expected one of 'constant', 'cosine', 'linear'"),
        (Lion, {"cooldown": 0.0}, "cooldown: expected a share above 0 and up to 1, got 0.0"),
        (
            bc.AdamW,
            {"schedule": "wsd", "warmup": 0.5, "cooldown": 0.6},
            "cooldown: expected at most 1 - warmup = 0.5 with schedule='wsd', got 0.6",
        ),
        (
            SGD,
            {"schedule": "constant", "final": 0.1},
            "final: expected 0 with schedule='constant', which does not fall, got 0.1",
        ),
        (
            SGD,
            {"momentum": 0.0, "nesterov": True},
            "nesterov: expected False with momentum=0.0, got True",
        ),
        (
            ScheduleFree,
            {"schedule": "cosine"},
            "schedule: expected 'constant' with ScheduleFree, whose averaging takes the place of "
            "a falling rate, got 'cosine'; use AdamW for that",
        ),
        (ScheduleFree, {"b1": 0.0}, "b1: expected a number above 0 for ScheduleFree, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(
    make, settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a user has no checker
    with pytest.raises(ValueError, match=f"^{re.escape(message)}[^\n]*$"):
        make(**settings)
