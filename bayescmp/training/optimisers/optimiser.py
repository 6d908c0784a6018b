"""What all optimisers share: settings, and the way from a gradient to a step."""

import abc
import math
from dataclasses import dataclass
from typing import get_args

import jax
import optax
from jaxtyping import Array, PyTree

from bayescmp.training.optimisers.groups import Groups, ParameterGroup, by_group, number_groups
from bayescmp.training.optimisers.schedules import Schedule, falling, warmed_up


@dataclass(frozen=True)
class AbstractOptimiser(abc.ABC):
    """Settings of an optimiser, from which Optax builds it.

    A step clips the gradient, finds a direction, and goes along it by the learning rate times
    the factor of the parameter's group. Laws: the state holds arrays only; a factor on all
    parameters equals the same factor on the learning rate; a factor of zero moves nothing.
    """

    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.0
    warmup: float = 0.05
    """Share of the steps over which the rate rises from zero."""
    schedule: Schedule = "cosine"
    """How the rate falls afterwards."""
    final: float = 0.0
    """Share of the peak to which the rate has fallen at the end of the run."""
    cooldown: float = 0.2
    """Share of the steps over which ``wsd`` falls; other schedules have no use for it."""
    clip: float = 1.0
    """Largest global norm of a gradient, over the parameters that are not frozen."""
    groups: Groups = ()
    """Settings of some parameters; the first group that matches a name counts."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        _check_sizes(self)
        _check_schedule(self)
        if not isinstance(self.groups, tuple) or not all(
            isinstance(group, ParameterGroup) for group in self.groups
        ):
            raise TypeError(f"groups: expected a tuple of ParameterGroup, got {self.groups!r}")

    @abc.abstractmethod
    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation, with the decay at its place.
        """

    def averaged(
        self, step: optax.GradientTransformation, learning_rate: optax.Schedule
    ) -> optax.GradientTransformation:
        """Return the transformation that takes averages over steps; here there are none.

        Args:
            step: From a clipped gradient to a change of the parameters.
            learning_rate: Learning rate by step.

        Returns:
            Optax transformation.
        """
        del learning_rate
        return step

    def evaluation_params(self, opt_state: PyTree[Array], params: PyTree[Array]) -> PyTree[Array]:
        """Return the parameters to evaluate; those that are trained, unless it averages.

        Args:
            opt_state: State of the transformation that :meth:`build` returned.
            params: Parameters that belong to the state.

        Returns:
            Parameters of the same shapes.
        """
        del opt_state
        return params

    def build(self, num_steps: int) -> optax.GradientTransformation:
        """Return the Optax transformation for a run of a given length.

        It is written for one network; map ``init`` and ``update`` over seeds with ``vmap``.

        Args:
            num_steps: Length of the run in steps.

        Returns:
            Optax transformation, whose ``update`` needs the parameters. Its ``init`` raises a
            ValueError, with the names that there are, if a group matches no parameter.

        Example:
            >>> params = {"query": jnp.ones(2), "value": jnp.ones(2)}
            >>> transformation = bc.AdamW().build(num_steps=100)
            >>> state = transformation.init(params)
            >>> transformation.update(params, state, params)[0]["query"]
            Array([-0.0002, -0.0002], dtype=float32)
        """
        learning_rate = rate(self, num_steps)
        step = optax.chain(
            self.direction(_decay(self)),
            optax.scale_by_learning_rate(learning_rate),
            _factors(self.groups),
        )
        return optax.chain(
            _adopt(self.groups),
            _freeze(self.groups),
            optax.clip_by_global_norm(self.clip),
            self.averaged(step, learning_rate),
            _freeze(self.groups),
        )


def rate(optimiser: AbstractOptimiser, num_steps: int) -> optax.Schedule:
    """Return an optimiser's learning rate as a function of the step.

    Args:
        optimiser: Optimiser.
        num_steps: Length of the run in steps.

    Returns:
        Optax schedule; groups multiply it by their factors.

    Example:
        >>> constant = bc.AdamW(learning_rate=0.5, warmup=0.1, schedule="constant")
        >>> [float(rate(constant, 20)(step)) for step in (0, 1, 19)]
        [0.25, 0.5, 0.5]
    """
    num_warmup = round(optimiser.warmup * num_steps)
    after = falling(
        optimiser.schedule,
        optimiser.learning_rate,
        max(num_steps - num_warmup, 1),
        final=optimiser.final,
        num_cooldown=round(optimiser.cooldown * num_steps),
    )
    return warmed_up(optimiser.learning_rate, num_warmup, after)


def _adopt(groups: Groups) -> optax.GradientTransformation:
    """Give gradients the parameters' type, once every group is known to match something."""

    def init(params: PyTree[Array]) -> optax.EmptyState:
        number_groups(groups, params)
        return optax.EmptyState()

    def cast(grads: PyTree[Array], params: PyTree[Array] | None) -> PyTree[Array]:
        return jax.tree.map(lambda grad, leaf: grad.astype(leaf.dtype), grads, params)

    return optax.GradientTransformation(init, optax.stateless(cast).update)


def _freeze(groups: Groups) -> optax.GradientTransformation:
    """Set to zero what belongs to parameters with a factor of zero.

    Before the clip, so that frozen parameters have no say in the norm; and again at the end,
    since a decay or the rounding of an average would move them.
    """
    keep, drop = optax.identity(), optax.set_to_zero()
    return by_group(groups, [drop if group.factor == 0 else keep for group in groups], keep)


def _factors(groups: Groups) -> optax.GradientTransformation:
    """Multiply changes by the groups' factors."""
    keep = optax.identity()
    scales = [keep if group.factor == 1 else optax.scale(group.factor) for group in groups]
    return by_group(groups, scales, keep)


def _decay(optimiser: AbstractOptimiser) -> optax.GradientTransformation:
    """Add every parameter times its group's weight decay."""
    common = optax.add_decayed_weights(optimiser.weight_decay)
    own = [
        common if group.weight_decay is None else optax.add_decayed_weights(group.weight_decay)
        for group in optimiser.groups
    ]
    return by_group(optimiser.groups, own, common)


def _check_sizes(optimiser: AbstractOptimiser) -> None:
    name = type(optimiser).__name__
    if not 0 < optimiser.learning_rate < math.inf:
        raise ValueError(
            f"learning_rate: expected a positive number for {name}, got {optimiser.learning_rate}"
        )
    if not 0 <= optimiser.weight_decay < math.inf:
        raise ValueError(
            f"weight_decay: expected zero or a positive number, got {optimiser.weight_decay}"
        )
    if not optimiser.clip > 0:
        raise ValueError(f"clip: expected a positive norm, got {optimiser.clip}")
    for decay in ("b1", "b2", "momentum"):
        if not 0 <= getattr(optimiser, decay, 0.0) < 1:
            raise ValueError(
                f"{decay}: expected a number from 0 up to 1, got {getattr(optimiser, decay)}"
            )


def _check_schedule(optimiser: AbstractOptimiser) -> None:
    schedule, warmup, cooldown = optimiser.schedule, optimiser.warmup, optimiser.cooldown
    if schedule not in get_args(Schedule):
        known = ", ".join(repr(name) for name in get_args(Schedule))
        raise ValueError(f"schedule: expected one of {known}, got {schedule!r}")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup: expected a share from 0 up to 1, got {warmup}")
    if not 0 < cooldown <= 1:
        raise ValueError(f"cooldown: expected a share above 0 and up to 1, got {cooldown}")
    if schedule == "wsd" and warmup + cooldown > 1:
        raise ValueError(
            f"cooldown: expected at most 1 - warmup = {1 - warmup:g} with schedule='wsd', "
            f"got {cooldown}"
        )
    if not 0 <= optimiser.final <= 1:
        raise ValueError(f"final: expected a share from 0 to 1, got {optimiser.final}")
    if schedule == "constant" and optimiser.final:
        raise ValueError(
            f"final: expected 0 with schedule='constant', which does not fall, "
            f"got {optimiser.final}"
        )
