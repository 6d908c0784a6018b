"""The factor graph of a program that is written down: its variables by name, and their tables."""

import numpy as np

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.named_graph import NamedGraph
from bayescmp.exact.reading.factors import FactoredProgram, factor_program
from bayescmp.exact.reading.variables import SiteVariables
from bayescmp.model import AbstractGenerativeModel


def read_graph(model: AbstractGenerativeModel) -> NamedGraph:
    """Read the variables of a discrete program and their tables, without its questions.

    ``p(variables) = prod_v p(x_v | parents of v)``, one factor for each variable. Where what is
    asked only repeats another variable, as in a belief network, it is left out.

    Args:
        model: Model whose sites are discrete, and whose tables are the same in every sequence.

    Returns:
        The graph. Variables have the names of their sites, with their place in brackets where a
        site has several; values have their numbers.

    Raises:
        TypeError: If it is no model.
        ValueError: If a site is continuous, or a table depends on what the prompt shows.

    Example:
        >>> from bayescmp.exact.graphs.read_graph import read_graph
        >>> graph = read_graph(bc.models.diagnosis())
        >>> graph.names, graph.graph.scopes[3]
        (('flu', 'allergy', 'fever', 'sneezing', 'itching'), (0, 1, 3))
    """
    if not isinstance(model, AbstractGenerativeModel):
        raise TypeError(f"model: expected a generative model, got {type(model).__name__}")
    factored = factor_program(model.program, model.layout)
    _check(factored)
    repeats = _find_repeats(factored)
    kept = [v for v in range(len(factored.sizes)) if v not in repeats]
    numbers = {variable: number for number, variable in enumerate(kept)}
    number_of = {v: numbers[repeats.get(v, v)] for v in range(len(factored.sizes))}
    names = [name for site in factored.sites for name in _names(site)]
    values = [site.element.values for site in factored.sites for _ in range(site.num_variables)]
    scopes, tables = [], []
    for family, table in zip(factored.families, factored.constants, strict=True):
        if family.child not in repeats and table is not None:
            scopes.append(tuple(number_of[v] for v in family.scope))
            tables.append(np.asarray(table))
    return NamedGraph(
        names=tuple(names[v] for v in kept),
        values=tuple(tuple(str(int(x)) for x in values[v]) for v in kept),
        graph=FactorGraph(tuple(scopes), tuple(factored.sizes[v] for v in kept)),
        log_tables=tuple(tables),
    )


def _check(factored: FactoredProgram) -> None:
    if not factored.is_exact or factored.layout.edges:
        names = [site.name for site in factored.sites if site.element.is_continuous]
        raise ValueError(f"model: expected discrete sites, got the continuous {names}")
    for family, table in zip(factored.families, factored.constants, strict=True):
        if table is None or family.child is None:
            raise ValueError(
                f"model: expected tables that are the same in every sequence, got that of "
                f"{family.site!r}, which depends on what is given"
            )


def _find_repeats(factored: FactoredProgram) -> dict[int, int]:
    """Return the variable that each asked one repeats: the table of the two is the identity."""
    repeats: dict[int, int] = {}
    for family, table in zip(factored.families, factored.constants, strict=True):
        if family.site != factored.layout.outcome.name or family.child is None or table is None:
            continue
        if len(table.shape) == 2 and np.array_equal(np.exp(table), np.eye(*table.shape)):
            # Parents come first, so that what is repeated is no copy of a copy.
            repeats[family.child] = repeats.get(family.scope[0], family.scope[0])
    return repeats


def _names(site: SiteVariables) -> list[str]:
    if not site.batch_shape:
        return [site.name]
    places = np.ndindex(*site.batch_shape)
    return [f"{site.name}[{', '.join(map(str, place))}]" for place in places]
