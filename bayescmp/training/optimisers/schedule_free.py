"""AdamW that averages its weights instead of lowering its learning rate."""

from dataclasses import dataclass

import jax
import optax
from jaxtyping import Array, PyTree

from bayescmp.training.optimisers.optimiser import AbstractOptimiser
from bayescmp.training.optimisers.schedules import Schedule


@dataclass(frozen=True)
class ScheduleFree(AbstractOptimiser):
    """Schedule-free AdamW: the weights to evaluate are not the weights that are trained.

    Gradients are taken at ``y = (1 - b1) z + b1 x``, where ``z`` are weights that AdamW moves
    without momentum, and ``x`` is their mean over all steps, each weighed by its squared
    learning rate. The trained parameters are ``y``; evaluate, keep and compare ``x``, which
    :meth:`evaluation_params` returns.

    Source: Defazio et al., "The road less scheduled", arXiv 2405.15682, algorithm 1.
    """

    learning_rate: float = 2.5e-3
    """Peak learning rate."""
    schedule: Schedule = "constant"
    """Only ``constant``: the averaging takes the place of a falling rate."""
    b1: float = 0.9
    """Share of the averaged weights in the trained ones; above zero."""
    b2: float = 0.99
    """Share of the averaged squares that is kept."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        super().__post_init__()
        if self.schedule != "constant":
            raise ValueError(
                "schedule: expected 'constant' with ScheduleFree, whose averaging takes the "
                f"place of a falling rate, got {self.schedule!r}; use AdamW for that"
            )
        if not self.b1:
            raise ValueError(f"b1: expected a number above 0 for ScheduleFree, got {self.b1}")

    def direction(self, decay: optax.GradientTransformation) -> optax.GradientTransformation:
        """Return the transformation from a gradient to a direction of ascent.

        Args:
            decay: Adds every parameter times its weight decay.

        Returns:
            Optax transformation.
        """
        return optax.chain(
            optax.scale_by_rms(self.b2, eps=1e-8, eps_in_sqrt=False, bias_correction=True), decay
        )

    def averaged(
        self, step: optax.GradientTransformation, learning_rate: optax.Schedule
    ) -> optax.GradientTransformation:
        """Return the transformation that moves ``z``, and ``y`` with it.

        Args:
            step: From a clipped gradient to a change of ``z``.
            learning_rate: Learning rate by step.

        Returns:
            Optax transformation.
        """
        # Optax counts from one here, and from zero in the step itself.
        return optax.contrib.schedule_free(step, lambda count: learning_rate(count - 1), self.b1)

    def evaluation_params(self, opt_state: PyTree[Array], params: PyTree[Array]) -> PyTree[Array]:
        """Return the averaged weights ``x = z + (y - z) / b1``.

        Args:
            opt_state: State of the transformation that :meth:`build` returned.
            params: Parameters ``y`` that belong to the state.

        Returns:
            Parameters of the same shapes.

        Example:
            >>> optimiser, params = ScheduleFree(), {"weight": jnp.ones(2)}
            >>> optimiser.evaluation_params(optimiser.build(9).init(params), params)["weight"]
            Array([1., 1.], dtype=float32)
        """
        (state,) = (part for part in opt_state if isinstance(part, optax.contrib.ScheduleFreeState))
        return jax.tree.map(lambda y, z: z + (y - z) / self.b1, params, state.z)
