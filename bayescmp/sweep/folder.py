"""The folder of a sweep: whose it is, and what was asked for last."""

import json
from collections.abc import Mapping
from pathlib import Path

from bayescmp.files import write_atomically
from bayescmp.running import config_fields
from bayescmp.study import Study, StudyConfig

_RECORD = "sweep.json"


def claim_folder(out: Path, study: Study, named: Mapping[str, StudyConfig], seeds: int) -> None:
    """Write down what is asked for, unless the folder belongs to something else.

    Args:
        out: Folder of the sweep, which may not exist yet.
        study: The study.
        named: Configurations by name.
        seeds: Number of seeds of each.

    Raises:
        ValueError: If the path is a file, or the folder holds something else or a sweep of
            another study.
        OSError: If the folder cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a folder, got the file {str(out)!r}")
    record = out / _RECORD
    if out.exists() and not record.exists():
        others = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if others:
            raise ValueError(
                f"out: expected an empty folder or one of an earlier sweep, but {str(out)!r} "
                f"holds {others[0]!r} and no {_RECORD}; choose another folder with --out"
            )
    if record.exists():
        found = _read_study(record)
        if found != study.name:
            raise ValueError(
                f"out: {str(out)!r} holds a sweep of study {found!r}, not of {study.name!r}; "
                f"choose another folder with --out"
            )
    out.mkdir(parents=True, exist_ok=True)
    asked = {
        "study": study.name,
        "seeds": seeds,
        "configurations": {name: config_fields(study, named[name]) for name in named},
    }
    write_atomically(record, (json.dumps(asked, indent=2) + "\n").encode())


def _read_study(record: Path) -> str:
    """Read whose sweep a folder holds."""
    try:
        return json.loads(record.read_bytes())["study"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"out: {str(record)!r} is not the record of a sweep; choose another folder with --out"
        ) from error
