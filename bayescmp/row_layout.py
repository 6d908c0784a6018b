"""Layouts in which everything is shown first and each question is answered in its own row."""

from dataclasses import dataclass, field
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bayescmp.layout import Layout
from bayescmp.row_coder import RowCoder


@dataclass(frozen=True)
class RowLayout(Layout):
    """A start row, and a row for each question; the answer may need all of them.

    Nothing is revealed between questions, so that every answer is one given the same prompt.
    A network has to see the rows after its own as well.
    """

    rows: RowCoder = field(kw_only=True)

    @property
    def shows_all_first(self) -> bool:
        """Always true: a question may depend on rows after its own."""
        return True

    @property
    def has_start(self) -> bool:
        """Always true."""
        return True

    @property
    def uses_tokens(self) -> bool:
        """Never: rows are vectors."""
        return False

    @property
    def input_length(self) -> int:
        """Number of rows."""
        return self.length + 1

    @property
    def header_length(self) -> int:
        """Number of rows that are shown before the first question: all."""
        return self.input_length

    @property
    def asked_positions(self) -> Int[np.ndarray, " position"]:
        """Row at which each question is answered: its own."""
        return 1 + np.arange(self.length)

    @property
    def input_size(self) -> int:
        """Number of features of a row."""
        return self.rows.num_features

    def encode(self, sites: dict[str, Array]) -> Float[Array, "input_position feature"]:
        """Write one example's given sites as rows.

        Args:
            sites: Value of every given site, by name.

        Returns:
            The start row, then one for each question.
        """
        return _write(self.rows, self._given(sites))

    def supervised(self, sites: dict[str, Array]) -> Bool[Array, " position"]:
        """Say which questions of one example count.

        Args:
            sites: Value of every given site, by name.

        Returns:
            False for padding, and where the prompt already tells the answer.
        """
        return _count(self.rows, self._given(sites))

    def describe(self, sites: dict[str, np.ndarray]) -> list[str]:
        """Name what each row of one example says, for people.

        Args:
            sites: Value of every given site, by name.

        Returns:
            One short text for each row.
        """
        return self.rows.describe(self._given(sites))

    def reject(self, sites: dict[str, np.ndarray]) -> None:
        """Check values that somebody supplies, beyond what each site can take by itself.

        Args:
            sites: Values by name, any number of batch axes in front.

        Raises:
            ValueError: If they are not those of any example.
        """
        self.rows.reject(self._given(sites))

    def _given[Value: (Array, np.ndarray)](self, sites: dict[str, Value]) -> dict[str, Value]:
        return {site.name: sites[site.name] for site in self.given}


# Many small operations: one compilation in place of one for each of them.
@partial(jax.jit, static_argnums=0)
def _write(rows: RowCoder, given: dict[str, Array]) -> Float[Array, "input_position feature"]:
    return rows(given)


@partial(jax.jit, static_argnums=0)
def _count(rows: RowCoder, given: dict[str, Array]) -> Bool[Array, " position"]:
    return rows.supervised(given)
