"""What pydantic says, said again for the person who wrote the file: where, what was expected, what was found."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hoiray.config.base import CROSS_FIELD, Config
from hoiray.config.document import Document, KeyPath, Problem, shorten

_EXPECTED: Final[dict[str, str]] = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "int_type": "a whole number",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "literal_error": "one of {expected}",
    "model_type": "a mapping of keys",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "text of at least {min_length} character",
    "string_type": "text",
    "string_unicode": "text without lone surrogates",
}
"""What was expected, by pydantic's type of error; ``test_problems.py`` provokes each on a real file."""

_UNKNOWN_EXPECTED: Final = "a value that the field can take"
"""For a type of error that nobody has met: pydantic's own words name its internals, not the reader's file."""

_MAX_PATH_CHARS: Final = 120
"""The longest path of a field has 40; names of options and node groups are the writer's own."""

_TAG_ERRORS: Final = ("union_tag_invalid", "union_tag_not_found")
"""Raised by a mapping whose key ``preset`` chooses no model."""


def list_problems(error: ValidationError, document: Document, model: type[Config], root_name: str) -> list[Problem]:
    """Translate every error of a validation into a problem with its origin.

    Args:
        error: of validating ``document.values`` as ``model``.
        document: the values and where they were written.
        model: the configuration that was wanted.
        root_name: what the top level is called (``run``, ``cluster``).
    """
    problems = []
    for details in error.errors(include_url=False):
        path = _data_path(details, document)
        if details["type"] == "extra_forbidden":
            message = _unknown_key(path, model, root_name)
        elif details["type"] == "missing":
            message = f"{_dotted(path)}: expected a value, found nothing. {_description(model, path)}"
        else:
            message = _wrong_value(details, path, model, root_name)
        problems.append(document.origin_of(path).problem(message))
    return problems


def did_you_mean(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate nearest to a misspelt word, if one is near."""
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return near[0] if near else None


def show_value(value: object) -> str:
    """Show a value as its writer knows it, shortened."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "null (nothing)"
    return shorten(str(value).lower() if isinstance(value, bool) else repr(value))


def _data_path(details: ErrorDetails, document: Document) -> KeyPath:
    """Turn pydantic's location into a path through the data: without the tags of unions and marks like ``[key]``."""
    path: list[str | int] = []
    node: Any = document.values
    for position, part in enumerate(details["loc"]):
        is_last = position == len(details["loc"]) - 1
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        if inside:
            node = node[part]
        if inside or (is_last and details["type"] == "missing"):
            path.append(part)
    if details["type"] == CROSS_FIELD:
        path.append(details["ctx"]["field"])
    if details["type"] in _TAG_ERRORS:
        path.append("preset")
    return tuple(path)


def _unknown_key(path: KeyPath, model: type[Config], root_name: str) -> str:
    key, parent = str(path[-1]), path[:-1]
    owners = _models_at(model, parent)
    fields = [it.model_fields for it in owners if key in it.model_fields]
    presets = [preset for it in fields if "preset" in it for preset in _options(it["preset"])]
    if presets:  # known, but not where another preset was chosen
        advice = f"goes with the preset {' or '.join(presets)} only; take it out, or choose that preset"
        return f"key {shorten(repr(key))} in {_dotted(parent) or root_name} {advice}"
    known = sorted({name for owner in owners for name in owner.model_fields})
    near = did_you_mean(key, known)
    advice = f"did you mean {near!r}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {shorten(repr(key))} in {_dotted(parent) or root_name}; {advice}"


def _wrong_value(details: ErrorDetails, path: KeyPath, model: type[Config], root_name: str) -> str:
    if details["type"] == CROSS_FIELD:
        what = str(details["msg"])
    elif details["type"] in _TAG_ERRORS:
        choices, found = _choices(model, path), details["input"].get(path[-1])
        expected = f"one of {', '.join(map(repr, choices))}"
        what = f"expected {expected}, found {show_value(found)}{_nearest(found, choices)}"
    else:
        found = details["input"]
        expected = _EXPECTED.get(details["type"], _UNKNOWN_EXPECTED).format(**details.get("ctx", {}))
        what = f"expected {expected}, found {show_value(found)}{_hint(details, found)}"
    stop = "" if what.endswith("?") else "."
    return f"{_dotted(path) or root_name}: {what}{stop} {_description(model, path)}".rstrip()


def _hint(details: ErrorDetails, found: object) -> str:
    if details["type"] == "literal_error":
        return _nearest(found, re.findall(r"'([^']+)'", details["ctx"]["expected"]))
    if details["type"] == "string_type" and isinstance(found, bool | int | float):
        return "; put it in quotes"
    return ""


def _nearest(found: object, choices: Sequence[str]) -> str:
    near = did_you_mean(found, choices) if isinstance(found, str) else None
    return f"; did you mean {near!r}?" if near else ""


def _choices(model: type[Config], path: KeyPath) -> list[str]:
    """Return what the models that may stand at a path allow for one of their keys, in their order."""
    fields = [owner.model_fields[str(path[-1])] for owner in _models_at(model, path[:-1])]
    return [choice for field in fields for choice in _options(field)]


def _options(field: FieldInfo) -> list[str]:
    """Return the words that a field allows; none where others do."""
    annotation = field.annotation
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _dotted(path: KeyPath) -> str:
    return shorten(".".join(map(str, path)), _MAX_PATH_CHARS)


def _description(model: type[Config], path: KeyPath) -> str:
    """Return the description of the field at a path; empty inside free mappings (options, names)."""
    for owner in _models_at(model, path[:-1]):
        if path and path[-1] in owner.model_fields:
            return owner.model_fields[str(path[-1])].description or ""
    return ""


def _models_at(model: type[Config], path: KeyPath) -> list[type[Config]]:
    """Return the models that may stand at a path: several where the configuration offers a choice."""
    models = [model]
    is_name = False
    for part in path:
        if is_name:  # the name of an entry in a mapping of models
            is_name = False
            continue
        if isinstance(part, int):  # the place of an entry in a list of models
            continue
        annotations = [owner.model_fields[part].annotation for owner in models if part in owner.model_fields]
        models = [child for annotation in annotations for child in _models_in(annotation)]
        is_name = any(get_origin(annotation) is Mapping for annotation in annotations)
    return models


def _models_in(annotation: object) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
