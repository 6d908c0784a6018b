"""From a model to its oracle."""

from typing import Literal, overload

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.oracle import AbstractOracle, Certificate, Oracle
from bayescmp.selection import EngineName, choose_engine


@overload
def derive_oracle(model: AbstractGenerativeModel, *, engine: EngineName = "auto") -> Oracle: ...


@overload
def derive_oracle(
    model: AbstractGenerativeModel, *, engine: Literal["monte carlo"]
) -> AbstractOracle: ...


def derive_oracle(
    model: AbstractGenerativeModel, *, engine: EngineName | Literal["monte carlo"] = "auto"
) -> AbstractOracle:
    """Find a way to answer a model's questions, exact if there is one.

    Tried in this order: the model's hand-written closed form, conjugate updating found on the
    trace, one pass forwards or variable elimination over a program with discrete latents,
    enumeration of all joint settings, and quadrature over one or two continuous latents
    where its error is below 1e-6 nats. Sampling has to be asked for: ``"monte carlo"`` is
    :func:`bayescmp.montecarlo.derive_by_sampling` with its default settings.

    Args:
        model: Generative model.
        engine: Name of an engine to force, or "auto".

    Returns:
        The oracle, whose certificate says what was done with each site and how exact it is.

    Raises:
        ValueError: If no engine (or not the forced one) applies; the message says why.

    Example:
        >>> from bayescmp.models import Bijection
        >>> derive_oracle(Bijection(size=20)).certificate.exact
        True
    """
    if engine == "monte carlo":
        from bayescmp.montecarlo import derive_by_sampling  # BlackJAX takes a while to import

        return derive_by_sampling(model)
    choice = choose_engine(model, engine)
    certificate = Certificate(
        engine=choice.name,
        exact=choice.exact,
        reason=choice.engine.reason(),
        sites=tuple(choice.engine.treatment().items()),
        error=choice.error,
    )
    return Oracle(model=model, engine=choice.engine, certificate=certificate)
