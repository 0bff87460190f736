"""Configuration files to configurations: the front door of ``hoiray.config``.

``load_run``, ``load_training`` and ``load_cluster`` read a file, ``parse_run`` and so on a text, ``load_either`` a file
of either half; all take overrides as written behind ``--set``. Whatever is wrong becomes one ``ConfigError`` that lists
every problem with file and line. ``dump`` writes a configuration back, ``fingerprint`` names what it will compute.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from pydantic import JsonValue, ValidationError

from hoiray.config.base import Config
from hoiray.config.document import Document, Origin, Problem, parse_document, parse_value, shorten
from hoiray.config.dump import dump
from hoiray.config.fingerprint import fingerprint
from hoiray.config.halves import HALVES, HalfName, half_of_key, half_of_keys, override_origin, split_override
from hoiray.config.problems import did_you_mean, list_problems
from hoiray.config.what import RunConfig, TrainRun
from hoiray.config.where import ClusterConfig
from hoiray.errors import ConfigError

__all__ = [
    "dump",
    "fingerprint",
    "load_cluster",
    "load_either",
    "load_run",
    "load_training",
    "load_what",
    "parse_cluster",
    "parse_run",
    "parse_training",
]

ConfigT = TypeVar("ConfigT", bound=Config)

_ONLY_IN_RUNS: Final = frozenset(RunConfig.model_fields) - frozenset(TrainRun.model_fields)
"""Keys by which a file of a whole run is told from one of a training alone."""

_AFTER_THE_FILE: Final = 1_000_000_000
"""Line number that sorts the problems of overrides behind those of the file."""


def load_run(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run file, the *what* half.

    Args:
        path: a YAML file, UTF-8.
        overrides: assignments such as ``ensemble.num_views=4``; the value is YAML, and the last one wins.

    Raises:
        ConfigError: every problem of the file and the overrides, each with file and line.
    """
    return parse_run(_read_text(path), overrides, source=str(path))


def load_training(path: Path | str, overrides: Sequence[str] = ()) -> TrainRun:
    """Read the training of a file: one of a training alone, or a run file that has a section for it; see ``load_run``.

    Raises:
        ConfigError: as ``load_run``; or it is a run file without ``training``.
    """
    return parse_training(_read_text(path), overrides, source=str(path))


def load_cluster(path: Path | str, overrides: Sequence[str] = ()) -> ClusterConfig:
    """Read a cluster file, the *where* half; see ``load_run``."""
    return parse_cluster(_read_text(path), overrides, source=str(path))


def load_what(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig | TrainRun:
    """Read a file of the *what* half: a whole run, or a training alone where no key belongs to runs only."""
    return _parse_what(_read_text(path), overrides, source=str(path))


def load_either(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig | TrainRun | ClusterConfig:
    """Read a file of either half, told by its top-level keys; see ``load_run``.

    Raises:
        ConfigError: as ``load_run``; or the keys do not tell which half it is.
    """
    text = _read_text(path)
    keys = list(parse_document(text, str(path)).values)
    half = half_of_keys(keys)
    if half is None:
        found = shorten(", ".join(keys)) or "none"
        examples = "a run file (its keys: output_uri, videos, hand, teacher, ...) or a cluster file (head, pools, ...)"
        raise ConfigError(f"{path}:1: expected {examples}, found the keys {found}; keep the keys of one of them")
    if half == "run":
        return _parse_what(text, overrides, source=str(path))
    return parse_cluster(text, overrides, source=str(path))


def parse_run(text: str, overrides: Sequence[str] = (), *, source: str = "<text>") -> RunConfig:
    """Read a run configuration from text; see ``load_run``. ``source`` stands for the file's name in messages."""
    return _parse(text, overrides, source, RunConfig, "run")


def _parse_what(text: str, overrides: Sequence[str], *, source: str) -> RunConfig | TrainRun:
    keys = set(parse_document(text, source).values)
    if "training" in keys and not keys & _ONLY_IN_RUNS:
        return parse_training(text, overrides, source=source)
    return parse_run(text, overrides, source=source)


def parse_training(text: str, overrides: Sequence[str] = (), *, source: str = "<text>") -> TrainRun:
    """Read the training of a text; see ``load_training``."""
    if not set(parse_document(text, source).values) & _ONLY_IN_RUNS:
        return _parse(text, overrides, source, TrainRun, "run")
    run = parse_run(text, overrides, source=source)
    if run.training is None:
        raise ConfigError(f"{source}:1: expected a section 'training', found none; say what is to be trained")
    return TrainRun(name=run.name, output_uri=run.output_uri, seed=run.seed, hand=run.hand, training=run.training)


def parse_cluster(text: str, overrides: Sequence[str] = (), *, source: str = "<text>") -> ClusterConfig:
    """Read a cluster configuration from text; see ``load_run``."""
    return _parse(text, overrides, source, ClusterConfig, "cluster")


def _read_text(path: Path | str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02x}"
        raise ConfigError(f"{path}:{line}: expected text in UTF-8, found {found}; save the file as UTF-8") from error
    except OSError as error:
        message = f"{path}: expected a readable configuration file, found: {error.strerror}; {_advice(error, path)}"
        raise ConfigError(message) from error


def _advice(error: OSError, path: Path | str) -> str:
    """Tell what to do about a file that cannot be read."""
    if isinstance(error, PermissionError):
        return "give yourself the right to read it"
    folder = Path(path) if isinstance(error, IsADirectoryError) else Path(path).parent
    names = sorted(file.name for file in folder.glob("*.yaml")) if folder.is_dir() else []
    if isinstance(error, IsADirectoryError):
        return f"name a file in it ({shorten(', '.join(names))})" if names else "name a file"
    stems = {Path(name).stem: name for name in names}  # the common suffix would make any two names alike
    near = did_you_mean(Path(path).stem, list(stems))
    return f"did you mean {folder / stems[near]}?" if near else "check the path; jobs/ and cluster/ hold examples"


def _parse(text: str, overrides: Sequence[str], source: str, model: type[ConfigT], half: HalfName) -> ConfigT:
    document = parse_document(text, source)
    _refuse_the_other_half(document, half)
    for override in overrides:
        _apply(document, override, half)
    problems = list(document.problems)
    try:
        config = model.model_validate(document.values)
    except ValidationError as error:
        problems += list_problems(error, document, model, half)
    if problems:
        raise ConfigError(_describe_all(problems, source))
    return config


def _refuse_the_other_half(document: Document, half: HalfName) -> None:
    """Say in one line that the files were mixed up, instead of calling every key unknown."""
    other = half_of_keys(document.values)
    if other in (None, half) or set(document.values) & set(HALVES[half].model_fields):
        return
    found = f"a {other} file (its keys: {shorten(', '.join(document.values))})"
    advice = "pass it behind --cluster" if other == "cluster" else "pass it as the run file"
    raise ConfigError(f"{document.source}:1: expected a {half} file, found {found}; {advice}")


def _describe_all(problems: Sequence[Problem], source: str) -> str:
    ordered = sorted(problems, key=lambda problem: problem.line)
    if len(ordered) == 1:
        return str(ordered[0])
    return "\n  ".join([f"{len(ordered)} problems with {source}:", *map(str, ordered)])


def _apply(document: Document, override: str, half: HalfName) -> None:
    """Change one value of the document as ``--set`` asks; what cannot be followed becomes a problem."""
    origin = Origin(override_origin(override), _AFTER_THE_FILE)
    assignment = split_override(override)
    if assignment is None:
        message = "expected KEY=VALUE with a dotted key, such as ensemble.num_views=4"
        document.problems.append(origin.problem(message))
        return
    path, text = assignment
    owner = half_of_key(path[0])
    if owner not in (None, half):
        message = f"{path[0]!r} is a key of the {owner} file, but {document.source} is a {half} file"
        document.problems.append(origin.problem(message))
        return
    try:
        value = parse_value(text, origin)
    except ConfigError as error:
        document.problems.append(origin.problem(str(error).removeprefix(f"{origin.text}: ")))
        return
    _assign(document, path, value, origin)


def _assign(document: Document, path: tuple[str, ...], value: JsonValue, origin: Origin) -> None:
    """Put a value at a path; sections that are absent or null are opened."""
    *above, last = path
    mapping = document.values
    for depth, key in enumerate(above, start=1):
        if mapping.get(key) is None:
            mapping[key] = {}
            document.origins[path[:depth]] = origin
        child = mapping[key]
        if not isinstance(child, dict):
            what = shorten(".".join(above[:depth]))
            message = f"{what} holds a value, not a mapping, so {shorten(repr('.'.join(path)))} is no key"
            document.problems.append(origin.problem(message))
            return
        mapping = child
    mapping[last] = value
    for stale in [known for known in document.origins if known[: len(path)] == path]:
        del document.origins[stale]
    document.origins[path] = origin
