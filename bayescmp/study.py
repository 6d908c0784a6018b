"""Studies: one question a module, loaded by name or by the path of a file.

A study module defines ``Config`` (a frozen dataclass with a field ``seeds``), ``PRESETS``
(configurations by name), ``CLAIMS`` (what it claims, with thresholds fixed beforehand) and
``run(config, *, key, workspace)``, which returns the comparison as a DataTree. The first
line of its docstring is the question.
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

import xarray as xr

from bayescmp._types import Key
from bayescmp.catalogue import STUDIES_PACKAGE, find_study, list_studies, unknown_name
from bayescmp.results.claims import Claim
from bayescmp.workspace import Workspace

_REQUIRED = ("Config", "PRESETS", "CLAIMS", "run")
_FREE = ("seeds", "instruments", "audits")  # what a preset stays itself without


@runtime_checkable
class StudyConfig(Protocol):
    """A frozen dataclass that fixes everything about a study's run."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seeds(self) -> int:
        """Number of networks to train, each from its own seed."""
        ...


@runtime_checkable
class StudyRun(Protocol):
    """The work of a study, determined by its configuration and key."""

    def __call__(self, config: Any, *, key: Key, workspace: Workspace) -> xr.DataTree:
        """Train, compare, and return the comparison without its claims."""
        ...


@dataclass(frozen=True)
class Study:
    """One question with its configurations, its claims and its work."""

    name: str
    """Short name, also the name of the output folder."""
    question: str
    """First line of the module's docstring."""
    presets: Mapping[str, StudyConfig]
    """Configurations by name: quick, default and paper as a rule."""
    claims: tuple[Claim, ...]
    """What the study claims, fixed before it runs."""
    run: StudyRun
    """The work: train and compare."""
    source: Path
    """The Python file that defines the study."""

    def configure(
        self,
        preset: str = "default",
        *,
        seeds: int | None = None,
        instruments: tuple[str, ...] | None = None,
        audits: tuple[str, ...] | None = None,
    ) -> StudyConfig:
        """Return a preset's configuration, with another number of seeds where given.

        Args:
            preset: Name of the preset.
            seeds: Number of training seeds; None keeps the preset's.
            instruments: What looks inside the networks; None keeps the preset's.
            audits: What audits them from outside; None keeps the preset's.

        Returns:
            The configuration.

        Raises:
            ValueError: If the study has no such preset, the number is below one, or the
                study's configurations have no field ``instruments`` or ``audits`` and some are
                asked for.

        Example:
            >>> load_study("bijection").configure("quick", seeds=2).seeds
            2
        """
        if preset not in self.presets:
            raise unknown_name("preset", preset, self.presets)
        changes: dict[str, object] = {}
        if seeds is not None:
            if seeds < 1:
                raise ValueError(f"seeds: expected at least 1, got {seeds}")
            changes["seeds"] = seeds
        names = {part.name for part in dataclasses.fields(self.config_type)}
        for option, field, asked in (
            ("inside", "instruments", instruments),
            ("audit", "audits", audits),
        ):
            if asked is None:
                continue
            if field not in names:
                raise ValueError(
                    f"{option}: expected a study with a field Config.{field}, got {self.name}"
                )
            changes[field] = asked
        return dataclasses.replace(self.presets[preset], **changes)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the source file, which changes when somebody edits it."""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    @property
    def config_type(self) -> type:
        """Class of the study's configurations."""
        return type(next(iter(self.presets.values())))

    def preset_of(self, config: StudyConfig) -> str:
        """Return the preset that a configuration is, apart from its seeds, instruments and audits.

        Args:
            config: A configuration of this study.

        Returns:
            The preset's name, or ``"custom"``.
        """
        names = {part.name for part in dataclasses.fields(self.config_type)}
        free = {name: getattr(config, name) for name in _FREE if name in names}
        same = [name for name, preset in self.presets.items() if preset == config]
        same += [
            name
            for name, preset in self.presets.items()
            if dataclasses.replace(preset, **free) == config
        ]
        return same[0] if same else "custom"


def load_study(study: str | Path) -> Study:
    """Import a study by its name or by the path of its file.

    A file's folder is put at the end of ``sys.path``, so that the study can import what
    lies beside it.

    Args:
        study: Name of a study in the package, or the path of a Python file.

    Returns:
        The study, checked for everything that a run needs.

    Raises:
        ValueError: If there is no such study, it does not import, or it lacks a part.

    Example:
        >>> load_study("bijection").name
        'bijection'
    """
    path = find_study(str(study))
    by_name = str(study) in list_studies()
    name = f"{STUDIES_PACKAGE}.{path.stem}" if by_name else f"_bayescmp_study_{path.stem}"
    try:
        module = importlib.import_module(name) if by_name else _import_file(path, name)
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"study: {str(path)!r} does not import: {what}{_line_of(error, path)}"
        ) from error
    return study_from_module(module)


def study_from_module(module: ModuleType) -> Study:
    """Check that a module is a study, and read its parts.

    Args:
        module: A module with ``Config``, ``PRESETS``, ``CLAIMS`` and ``run``.

    Returns:
        The study, named after the module's file.

    Raises:
        ValueError: If a part is missing or of the wrong kind; the message names the
            file and what is missing.
    """
    source = Path(module.__file__ or module.__name__)
    missing = [part for part in _REQUIRED if not hasattr(module, part)]
    problem = f"missing {' and '.join(missing)}" if missing else _find_problem(module)
    if problem:
        raise ValueError(f"study: {str(source)!r} is not a study: {problem}")
    docstring = inspect.cleandoc(module.__doc__ or "")
    return Study(
        name=source.stem,
        question=docstring.splitlines()[0] if docstring else "",
        presets=dict(module.PRESETS),
        claims=tuple(module.CLAIMS),
        run=module.run,
        source=source,
    )


def _import_file(path: Path, name: str) -> ModuleType:
    """Import a file that is in no package; dataclasses need it in ``sys.modules``."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("no loader for this file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _line_of(error: BaseException, path: Path) -> str:
    """Say at which line of a file an error arose, as far as that is known."""
    if isinstance(error, SyntaxError):
        return ""  # its own text names the line
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f" (line {lines[-1]})" if lines else ""


def _find_problem(module: ModuleType) -> str:
    """Name the first part of a study module that is of the wrong kind, or nothing."""
    config_type, presets, claims = module.Config, module.PRESETS, module.CLAIMS
    if not (isinstance(config_type, type) and dataclasses.is_dataclass(config_type)):
        return f"Config: expected a dataclass, got {config_type!r}"
    if "seeds" not in {part.name for part in dataclasses.fields(config_type)}:
        return "Config: expected a field named seeds, got none"
    if not isinstance(presets, Mapping) or not presets:
        return f"PRESETS: expected configurations by name, got {presets!r}"
    for name, preset in presets.items():
        if not isinstance(preset, config_type):
            return f"PRESETS[{name!r}]: expected a Config, got {preset!r}"
    if not isinstance(claims, tuple | list):
        return f"CLAIMS: expected a tuple of bayescmp.Claim, got {claims!r}"
    for index, claim in enumerate(claims):
        if not isinstance(claim, Claim):
            return f"CLAIMS[{index}]: expected a bayescmp.Claim, got {claim!r}"
    return _find_problem_of_run(module.run)


def _find_problem_of_run(run: object) -> str:
    """Say why something cannot be called as a study's run, or nothing."""
    expected = "expected a function run(config, *, key, workspace)"
    if not callable(run):
        return f"run: {expected}, got {run!r}"
    try:
        inspect.signature(run).bind(None, key=None, workspace=None)
    except TypeError as error:
        return f"run: {expected}, got run{inspect.signature(run)} ({error})"
    return ""
