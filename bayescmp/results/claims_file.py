"""Claims kept in a TOML file, so that a pipeline can judge results that it did not make."""

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayescmp.catalogue import unknown_name
from bayescmp.results.claims import Claim

TABLE = "claim"
"""Name of the array of tables that the file holds."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "statement": (str,),
    "metric": (str,),
    "threshold": (int, float),
    "direction": (str,),
    "level": (int, float),
    "min_seeds": (int,),
    "rung": (str,),
}
_WORDS = {str: "text in quotes", int: "a whole number", float: "a number"}


def load_claims(path: str | os.PathLike[str]) -> tuple[Claim, ...]:
    r"""Read claims from a TOML file.

    Each claim is one table ``[[claim]]`` with the fields of :class:`bayescmp.Claim`::

        [[claim]]
        statement = "The law is off by less than 0.003 bits of KL"
        metric = "/divergence/mean_kl"
        threshold = 0.003
        direction = "below"
        # optional: level = 0.95, min_seeds = 5, rung = "window 3"

    Args:
        path: File to read.

    Returns:
        The claims in the order of the file, at least one.

    Raises:
        ValueError: If the file is missing or not TOML, holds no claim, or a field is unknown,
            missing or of the wrong kind; the message names the claim, and the nearest name.

    Example:
        >>> from pathlib import Path
        >>> lines = ['[[claim]]', 'statement = "KL is small"', 'metric = "/divergence/mean_kl"']
        >>> lines += ['threshold = 0.01', 'direction = "below"']
        >>> _ = Path("claims.toml").write_text("\n".join(lines))
        >>> load_claims("claims.toml")[0].threshold
        0.01
    """
    tables = _read(Path(path))
    claims = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}, claim {number}"
        if not isinstance(table, dict):
            raise ValueError(f"{where}: expected a table [[{TABLE}]], got {table!r}")
        _check(where, table)
        try:
            claims.append(Claim(**_with_floats(table)))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return tuple(claims)


def _read(path: Path) -> list[Any]:
    """Read the tables of the file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{path}: expected TOML, got something else ({why})") from error
    for name in content:
        if name != TABLE:
            raise unknown_name(f"{path}: table", name, [TABLE])
    tables = content.get(TABLE)
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{path}: expected at least one table [[{TABLE}]], got none")
    return tables


def _check(where: str, table: Mapping[str, object]) -> None:
    """Hold one table against the fields of a claim."""
    for name, value in table.items():
        if name not in _KINDS:
            raise unknown_name(f"{where}: field", name, _KINDS)
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            kind = _WORDS[_KINDS[name][-1]]
            raise ValueError(f"{where}: {name}: expected {kind}, got {value!r}")
    missing = [
        field.name
        for field in dataclasses.fields(Claim)
        if field.default is dataclasses.MISSING and field.name not in table
    ]
    if missing:
        raise ValueError(f"{where}: expected the field {', '.join(missing)} too, got none")


def _with_floats(table: Mapping[str, Any]) -> dict[str, Any]:
    """Turn whole numbers into fractions where a claim has such: TOML tells 1 from 1.0."""
    return {name: float(value) if float in _KINDS[name] else value for name, value in table.items()}
