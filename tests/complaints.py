"""What tests of error messages share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import jaxtyping
import numpyro
import numpyro.distributions as dist
import pytest

import bayescmp as bc


def raised(kind: type[Exception], function: Callable[[], object]) -> str:
    """Return the message of an error, which must be one line."""
    with pytest.raises(kind) as caught:
        function()
    message = str(caught.value)
    assert "\n" not in message
    return message


def tokens(law: dist.Distribution, length: int = 3) -> None:
    """Draw tokens from a fixed law."""
    numpyro.sample("token", law.expand([length]))


def model_of(law: dist.Distribution, outcome: str = "token", **options) -> bc.GenerativeModel:
    return bc.GenerativeModel(partial(tokens, law), outcome=outcome, **options)


COIN = dist.Bernoulli(0.5)


@contextmanager
def unchecked() -> Iterator[None]:
    """Switch off the checks of argument types, which run in these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield
