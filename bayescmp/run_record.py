"""What determines a run's results, as its ``config.json`` keeps it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

_FIELDS_SHOWN = 6


@dataclass(frozen=True)
class RunRecord:
    """What determines the results of a run, as ``config.json`` keeps it."""

    study: str
    """Name of the study."""
    preset: str
    """Name of the preset that the configuration came from; it determines nothing."""
    seeds: int
    """Number of training seeds, repeated from the configuration for the reader."""
    config: Mapping[str, object]
    """The configuration's fields, as JSON can hold them."""
    key: str
    """The root key: its implementation and its words."""
    version: str
    """Version of the package that ran."""
    source: str
    """SHA-256 of the study's source file."""
    earlier: tuple[Mapping[str, str], ...] = field(default=())
    """Version and source of earlier parts of the run, where a resume changed them."""
    seed_indices: tuple[int, ...] | None = None
    """Which seeds were trained, where a run trains some of them alone; None for all."""

    def to_json(self) -> str:
        """Return the record as indented JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "RunRecord":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: If the text is not such a record.
        """
        try:
            values = json.loads(text)
            chosen = values.get("seed_indices")
            tuples = {
                "earlier": tuple(values.get("earlier", ())),
                "seed_indices": None if chosen is None else tuple(chosen),
            }
            return cls(**{**values, **tuples})
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not the record of a run ({error})") from error


def describe_differences(found: RunRecord, asked: RunRecord, *, code_too: bool) -> str:
    """Name each field that determines results and differs, with both values.

    The preset's name is left out, because the configuration says all that it does.

    Args:
        found: The record of the run that is there.
        asked: The record of the run that is wanted.
        code_too: Whether a changed package version or study file counts.

    Returns:
        One line, empty where nothing differs.
    """
    pairs = [("study", found.study, asked.study)]
    there, here = _flatten(found.config), _flatten(json.loads(json.dumps(asked.config)))
    pairs += [
        (name, there.get(name, "absent"), here.get(name, "absent"))
        for name in dict.fromkeys([*there, *here])
    ]
    pairs += [("key", found.key, asked.key)]
    pairs += [("choice of seeds", found.seed_indices, asked.seed_indices)]
    if code_too:
        pairs += [("bayescmp version", found.version, asked.version)]
    changed = [f"{name} is {a!r} there, {b!r} here" for name, a, b in pairs if a != b]
    if code_too and found.source != asked.source:
        changed.append("the study file was edited since (--resume goes on with the edited one)")
    return _shorten(changed)


def _flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Give nested fields dotted names."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _shorten(parts: list[str]) -> str:
    """Join what fits on a line and count the rest."""
    rest = len(parts) - _FIELDS_SHOWN
    shown = "; ".join(parts[:_FIELDS_SHOWN])
    return f"{shown}; and {rest} more" if rest > 0 else shown
