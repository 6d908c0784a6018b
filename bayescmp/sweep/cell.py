"""One cell of a sweep: a configuration and a seed, with the name of its folder."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from bayescmp.provenance import package_version
from bayescmp.running import config_fields
from bayescmp.study import Study, StudyConfig

_DIGEST_LENGTH = 10
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Cell:
    """One training run of a sweep.

    Example:
        >>> from bayescmp.study import load_study
        >>> study = load_study("bijection")
        >>> Cell(study, "two layers", study.configure("quick"), seed=1).name
        'two-layers-seed1'
    """

    study: Study
    """The study that does the work."""
    configuration: str
    """What the configuration is called in tables and folders."""
    config: StudyConfig
    """What to run, with the number of seeds of the whole sweep."""
    seed: int
    """Index of the seed trained, 0 .. seeds - 1."""

    @property
    def name(self) -> str:
        """The readable part of the folder's name."""
        return f"{slug(self.configuration)}-seed{self.seed}"

    def find_folder(self, cells: Path) -> Path:
        """Return where the cell's files go, whatever the configuration is called.

        Args:
            cells: Folder of all cells.

        Returns:
            The folder that ends in the digest of this cell; a new name where there is none.
        """
        return find_folder(cells, self.name, digest(self.study, self.config, self.seed))


def slug(text: str) -> str:
    """Return a text in characters that every file system takes.

    Args:
        text: Any text.

    Returns:
        Letters, digits and ``=.,_+-`` of it, at most 60, with a hyphen for anything else.

    Example:
        >>> slug("rate=0.001, 2 layers")
        'rate=0.001,-2-layers'
    """
    return re.sub(r"[^A-Za-z0-9=.,_+-]+", "-", text)[:_NAME_LENGTH].strip(".-") or "configuration"


def digest(study: Study, config: StudyConfig, seed: int | None = None) -> str:
    """Return a short hash of all that determines the results of a cell.

    How many seeds there are besides is left out, so that more of them can be added.

    Args:
        study: The study, with its source as it is on the disk.
        config: The configuration, with the key's seed if it has one.
        seed: Index of the training seed; None stands for all seeds.

    Returns:
        Ten hexadecimal digits.

    Raises:
        ValueError: If a field of the configuration cannot be written as JSON.
    """
    fields = config_fields(study, config)
    fields.pop("seeds")
    facts = {
        "study": study.name,
        "source": study.fingerprint(),
        "version": package_version(),
        "config": fields,
        "seed": seed,
        "keys": str(jax.config.jax_default_prng_impl),
    }
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def find_folder(parent: Path, name: str, ending: str) -> Path:
    """Return the folder whose name ends in a digest, or the name for a new one.

    Args:
        parent: Where to look.
        name: Readable part of a new name.
        ending: The digest.

    Returns:
        A path inside ``parent``, which may not exist yet.
    """
    found = sorted(path for path in parent.glob(f"*-{ending}") if path.is_dir())
    return found[0] if found else parent / f"{name}-{ending}"


def name_configurations(
    study: Study, configs: Mapping[str, StudyConfig] | Sequence[StudyConfig], seeds: int
) -> dict[str, StudyConfig]:
    """Check the configurations of a sweep and name those that have no name.

    Args:
        study: The study that they are for.
        configs: Configurations by name, or without names; they are then called after the
            fields in which they differ.
        seeds: Number of seeds that each gets.

    Returns:
        Configurations by name, each with that number of seeds.

    Raises:
        ValueError: If there is none, one is not of this study, or two are the same.
    """
    if seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {seeds}")
    given = dict(configs) if isinstance(configs, Mapping) else dict(enumerate(configs))
    if not given:
        raise ValueError("configs: expected at least one configuration, got none")
    for name, config in given.items():
        if not isinstance(config, study.config_type):
            raise ValueError(
                f"configs: expected a Config of study {study.name}, got {config!r} for {name!r}"
            )
    known: dict[str, object] = {}
    for name, config in given.items():
        first = known.setdefault(digest(study, config), name)
        if first != name:
            raise ValueError(
                f"configs: expected different ones, got the same as {first!r}, {name!r}"
            )
    same_seeds = [dataclasses.replace(config, seeds=seeds) for config in given.values()]
    names = list(given) if isinstance(configs, Mapping) else _names(study, same_seeds)
    return {str(name): config for name, config in zip(names, same_seeds, strict=True)}


def _names(study: Study, configs: Sequence[StudyConfig]) -> list[str]:
    """Call configurations after the fields in which they differ."""
    if len(configs) == 1:
        return [study.preset_of(configs[0])]
    tables = [dataclasses.asdict(config) for config in configs]
    differing = [name for name in tables[0] if any(t[name] != tables[0][name] for t in tables)]
    return [",".join(f"{name}={table[name]}" for name in differing) for table in tables]


def take_share[Item](items: Sequence[Item], shard: tuple[int, int] | None) -> list[Item]:
    """Return every n-th item, beginning with the i-th.

    Args:
        items: All cells of a sweep, in order.
        shard: ``(i, n)`` with i from 1 to n; None takes all.

    Returns:
        The items of this share; the n shares hold each item once.

    Raises:
        ValueError: If i does not lie between 1 and n.

    Example:
        >>> take_share(["a", "b", "c", "d", "e"], (2, 3))
        ['b', 'e']
    """
    if shard is None:
        return list(items)
    index, count = shard
    if not 1 <= index <= count:
        raise ValueError(f"shard: expected I/N with I from 1 to N, got {index}/{count}")
    return list(items[index - 1 :: count])
