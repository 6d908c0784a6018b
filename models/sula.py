"""Labels of stated reliability for one hidden answer: unary evidence that merely adds up."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.settings import constant
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_inside


def noisy_labels(length: int, num_answers: int, reliabilities: tuple[float, ...]) -> None:
    """Draw an answer, and labels that name it as often as their source is reliable."""
    reliable = constant(np.array(reliabilities))
    answer = numpyro.sample("answer", dist.DiscreteUniform(0, num_answers - 1))
    certain = jnp.where(jnp.arange(num_answers) == answer, 0.0, -jnp.inf)
    right = jax.nn.one_hot(answer, num_answers, dtype=reliable.dtype)
    with numpyro.plate("position", length):
        if len(reliabilities) > 1:
            source = numpyro.sample("source", dist.DiscreteUniform(0, len(reliabilities) - 1))
            hit = reliable[source][:, None]
        else:
            hit = jnp.full((length, 1), reliable[0])
        law = hit * right + (1.0 - hit) / (num_answers - 1) * (1.0 - right)
        numpyro.sample("label", dist.Categorical(probs=law))
        # The same answer is asked after every label. NumPyro's validation refuses infinite
        # logits, which is what certainty has.
        numpyro.sample("verdict", dist.Categorical(logits=certain, validate_args=False))


def sula(
    length: int = 8, num_answers: int = 2, reliabilities: tuple[float, ...] = (0.9,)
) -> GenerativeModel:
    """Ask after each noisy label for the answer behind all of them, which is never shown.

    ``answer ~ uniform``; a label names it with probability ``r`` of its source, each other
    answer with ``(1 - r) / (num_answers - 1)``. For two answers and one source
    ``p(answer = 1 | labels) = sigmoid((n_1 - n_0) log(r / (1 - r)))``. With several sources
    the one behind each label is shown before it.

    Source: Agarwal, Dalal and Misra, arXiv 2512.23752, section on SULA: two labels with
    likelihoods 0.9 and 0.1, and 0, 1, 2, 4 or 8 of them.

    Args:
        length: Number of labels, at least one; position ``t`` is asked after ``t + 1``.
        num_answers: Number of answers, at least two.
        reliabilities: Probability of the right label for each source, between 0 and 1.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> model = sula(length=2)
        >>> labels = {"label": jnp.array([1, 1]), "verdict": jnp.array([1, 1])}
        >>> reference = bc.derive_oracle(model)(model.batch_from_sites(labels))
        >>> np.exp(reference.log_predictive[:, 1]).round(4)  # 0.9 and 0.81 / 0.82
        array([0.9   , 0.9878], dtype=float32)
    """
    require_at_least("num_answers", num_answers, 2)
    require_at_least("reliabilities", len(reliabilities), 1)
    for reliability in reliabilities:
        require_inside("reliabilities", reliability, 0.0, 1.0)
    sources = f"{len(reliabilities)} sources" if len(reliabilities) > 1 else "one source"
    return GenerativeModel(
        noisy_labels,
        outcome="verdict",
        query=("source", "label") if len(reliabilities) > 1 else ("label",),
        reveal=False,
        length=length,
        arguments={
            "num_answers": num_answers,
            "reliabilities": tuple(float(r) for r in reliabilities),
        },
        name=f"labels of stated reliability, {num_answers} answers, {sources}",
    )
