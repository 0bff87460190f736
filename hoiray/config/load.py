"""Configuration files to configurations: the front door of ``hoiray.config``.

``load_run`` and ``load_cluster`` read a file, ``parse_run`` and ``parse_cluster`` a text; all take overrides as
written behind ``--set``. Whatever is wrong becomes one ``ConfigError`` that lists every problem with file and line.
``dump`` writes a configuration back, ``fingerprint`` names what it will compute.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from hoiray.config.base import Config
from hoiray.config.document import Document, KeyPath, Origin, Problem, parse_document, parse_value
from hoiray.config.dump import dump
from hoiray.config.fingerprint import fingerprint
from hoiray.config.problems import list_problems
from hoiray.config.what import RunConfig
from hoiray.config.where import ClusterConfig
from hoiray.errors import ConfigError

__all__ = ["dump", "fingerprint", "load_cluster", "load_run", "parse_cluster", "parse_run"]

ConfigT = TypeVar("ConfigT", bound=Config)

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


def load_cluster(path: Path | str, overrides: Sequence[str] = ()) -> ClusterConfig:
    """Read a cluster file, the *where* half; see ``load_run``."""
    return parse_cluster(_read_text(path), overrides, source=str(path))


def parse_run(text: str, overrides: Sequence[str] = (), *, source: str = "<text>") -> RunConfig:
    """Read a run configuration from text; see ``load_run``. ``source`` stands for the file's name in messages."""
    return _parse(text, overrides, source, RunConfig, "run")


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
        raise ConfigError(f"{path}: expected a readable configuration file, found: {error.strerror}") from error


def _parse(text: str, overrides: Sequence[str], source: str, model: type[ConfigT], root_name: str) -> ConfigT:
    document = parse_document(text, source)
    for override in overrides:
        _apply(document, override)
    problems = list(document.problems)
    try:
        config = model.model_validate(document.values)
    except ValidationError as error:
        problems += list_problems(error, document, model, root_name)
    if problems:
        raise ConfigError(_describe_all(problems, source))
    return config


def _describe_all(problems: Sequence[Problem], source: str) -> str:
    ordered = sorted(problems, key=lambda problem: problem.line)
    if len(ordered) == 1:
        return str(ordered[0])
    return "\n  ".join([f"{len(ordered)} problems with {source}:", *map(str, ordered)])


def _apply(document: Document, override: str) -> None:
    """Change one value of the document as ``--set`` asks; what cannot be followed becomes a problem."""
    origin = Origin(f"--set {override}", _AFTER_THE_FILE)
    name, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", name):
        message = "expected KEY=VALUE with a dotted key, such as ensemble.num_views=4"
        document.problems.append(origin.problem(message))
        return
    path: KeyPath = tuple(name.split("."))
    try:
        value = parse_value(text, origin)
    except ConfigError as error:
        document.problems.append(origin.problem(str(error).removeprefix(f"{origin.text}: ")))
        return
    *above, last = name.split(".")
    mapping = document.values
    for depth, key in enumerate(above, start=1):
        if mapping.get(key) is None:
            mapping[key] = {}
            document.origins[path[:depth]] = origin
        child = mapping[key]
        if not isinstance(child, dict):
            message = f"{'.'.join(above[:depth])} holds a value, not a mapping, so {name!r} is no key"
            document.problems.append(origin.problem(message))
            return
        mapping = child
    mapping[last] = value
    for stale in [known for known in document.origins if known[: len(path)] == path]:
        del document.origins[stale]
    document.origins[path] = origin
