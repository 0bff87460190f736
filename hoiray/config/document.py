"""Configuration text as values that know the line they came from.

The values are YAML 1.2's (core schema): ``1e-4`` is a number and ``no`` is text, where PyYAML's default, YAML 1.1,
reads ``1e-4`` as text, ``no`` as false and ``12:30`` as 750. Anchors and aliases work; merge keys, tags of other
types, NaN, infinity and repeated keys are refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml
from pydantic import JsonValue

from hoiray.errors import ConfigError

KeyPath = tuple[str | int, ...]

MAX_VALUES: Final = 100_000
"""A run file has about a hundred values; aliases of aliases can make a billion out of ten lines."""

MAX_DEPTH: Final = 64
"""Levels of nesting; a run file has four, and whoever walks through the values may use recursion."""

_MAX_INT_BITS: Final = 1024
"""The largest float has as many; Python refuses to write integers of more than 4300 digits (14 284 bits)."""

_TAG: Final = "tag:yaml.org,2002:"
_TOO_DEEP: Final = f"expected at most {MAX_DEPTH} levels of nesting, found more; flatten it"
_MERGE_FIX: Final = "merge keys are not part of YAML 1.2; write the keys out, or use an alias for the whole value"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration, and where it was written."""

    origin: str
    line: int
    """For the order of a list of problems; overrides come last."""
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


@dataclass(frozen=True)
class Origin:
    """Where a value was written: ``jobs/label.yaml:12`` or ``--set limits.min_box_iou=2``."""

    text: str
    line: int

    def problem(self, message: str) -> Problem:
        """State a problem with what was written here."""
        return Problem(self.text, self.line, message)


@dataclass
class Document:
    """The values of one file, with the origin of each.

    The reader and the overrides fill it; nothing else changes it.
    """

    source: str
    values: dict[str, JsonValue] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def origin_of(self, path: KeyPath) -> Origin:
        """Return where the value at ``path`` was written, or the innermost mapping that should hold it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin(f"{self.source}:1", 1)


class _TooDeepError(yaml.YAMLError):
    """Raised while composing, before recursion meets Python's own limit, which knows no line."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _CoreLoader(yaml.SafeLoader):
    """Composes YAML nodes and resolves plain scalars as YAML 1.2's core schema does."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node and all below it."""
        if self._depth == MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
            raise _TooDeepError(event.start_mark.line + 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_CORE_SCHEMA: Final[Mapping[str, str]] = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_CoreLoader.yaml_implicit_resolvers = {
    None: [(_TAG + name, re.compile(rf"(?:{pattern})$")) for name, pattern in _CORE_SCHEMA.items()]
}


def parse_document(text: str, source: str) -> Document:
    """Read the text of one configuration file.

    Args:
        text: YAML; one document whose top level is a mapping.
        source: name of the file in messages.

    Returns:
        The values with their lines; ``problems`` lists what was readable but is refused (a repeated key).

    Raises:
        ConfigError: the text is no YAML, empty, or no mapping; with file and line.
    """
    root = _compose(text, source)
    if root is None or root.tag == _TAG + "null":
        raise ConfigError(f"{source}: expected a mapping of keys, found an empty file")
    if not isinstance(root, yaml.MappingNode):
        found = "a list" if isinstance(root, yaml.SequenceNode) else f"the single value {shorten(repr(root.value))}"
        line = root.start_mark.line + 1
        raise ConfigError(f"{source}:{line}: expected a mapping of keys (key: value) at the top level, found {found}")
    if root.tag != _TAG + "map":
        raise ConfigError(f"{source}:{root.start_mark.line + 1}: {_refused_tag(root)}")
    document = Document(source)
    _Reader(document).read_mapping(root, (), ())
    return document


def parse_value(text: str, origin: Origin) -> JsonValue:
    """Read one YAML value, as written behind ``--set key=``.

    Raises:
        ConfigError: the text is no single YAML value.
    """
    try:
        node = _compose(text, origin.text)
    except ConfigError as error:
        is_deep = isinstance(error.__cause__, _TooDeepError)
        what = _TOO_DEEP if is_deep else f"expected a YAML value after '=', found {shorten(repr(text))}"
        raise ConfigError(f"{origin.text}: {what}") from error
    document = Document(origin.text)
    value = None if node is None else _Reader(document, origin).read(node, (), ())
    if document.problems:
        raise ConfigError("\n".join(map(str, document.problems)))
    return value


def shorten(text: str, max_chars: int = 60) -> str:
    """Cut a text that is too long to be echoed in a message."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}..."


def is_plain_text(text: str) -> bool:
    """Tell whether YAML reads ``text`` as itself without quotes."""
    if not re.fullmatch(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./-]|:(?=/))*", text):
        return False
    return not any(re.fullmatch(pattern, text) for pattern in _CORE_SCHEMA.values())


def _compose(text: str, source: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise ConfigError(f"{source}:{line}: not readable as YAML: {_explain(error, text, line)}") from error
    except yaml.reader.ReaderError as error:
        # PyYAML's annotations call position and character optional integers; a str stream always sets both
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"{source}:{line}: not readable as YAML: found the control character U+{code:04X}; delete it"
        raise ConfigError(message) from error
    except _TooDeepError as error:
        raise ConfigError(f"{source}:{error.line}: {_TOO_DEEP}") from error


def _refused_tag(node: yaml.Node) -> str:
    return f"expected a plain YAML value, found the tag {shorten(repr(node.tag))}; remove the tag"


def _explain(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    lines = text.splitlines()
    indent = re.match(r"\s*", lines[line - 1]) if line <= len(lines) else None
    if indent and "\t" in indent.group():
        return "a tab indents the line; use spaces"
    what = " ".join(part for part in (error.context, error.problem) if part)
    return f"{what}; look at this line and the one above"


@dataclass
class _Reader:
    """Turns nodes into values and notes their origins."""

    document: Document
    override: Origin | None = None
    num_values: int = 0

    def origin(self, node: yaml.Node) -> Origin:
        line = node.start_mark.line + 1
        return self.override or Origin(f"{self.document.source}:{line}", line)

    def refuse(self, node: yaml.Node, message: str) -> None:
        self.document.problems.append(self.origin(node).problem(message))

    def read(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> JsonValue:
        """Read a node; ``above`` holds the nodes it is inside of, to notice an alias of one of them."""
        self.num_values += 1
        if self.num_values > MAX_VALUES:
            found = f"more than {MAX_VALUES} values; are there aliases of aliases?"
            raise ConfigError(f"{self.origin(node).text}: expected a configuration, found {found}")
        if any(node is outer for outer in above):
            found = "an alias of a value that it is inside of; write it out"
            raise ConfigError(f"{self.origin(node).text}: expected a value, found {found}")
        if len(above) == MAX_DEPTH:  # aliases nest deeper than what is written
            raise ConfigError(f"{self.origin(node).text}: {_TOO_DEEP}")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.read_mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self.read_list(node, path, above)
        if isinstance(node, yaml.ScalarNode):
            return self.read_scalar(node)
        self.refuse(node, _refused_tag(node))
        return None

    def read_mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, JsonValue]:
        """Read a mapping into a dict; of a repeated key the first value stays and the others are problems."""
        values: dict[str, JsonValue] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.read_key(key_node)
            if key is None:
                continue
            if key in values:
                self.refuse(key_node, f"key {shorten(repr(key))} is given twice, first in line {lines[key]}; keep one")
                continue
            lines[key] = key_node.start_mark.line + 1
            if self.override is None:
                self.document.origins[*path, key] = self.origin(key_node)
            values[key] = self.read(value_node, (*path, key), (*above, node))
        if not above and self.override is None:
            self.document.values = values
        return values

    def read_key(self, node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str":
            if node.value == "<<" and node.style is None:
                self.refuse(node, f"found '<<': {_MERGE_FIX}")
                return None
            return str(node.value)
        found = shorten(repr(node.value)) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        self.refuse(node, f"expected text as a key, found {found}; put it in quotes")
        return None

    def read_list(self, node: yaml.SequenceNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> list[JsonValue]:
        values: list[JsonValue] = []
        for index, child in enumerate(node.value):
            if self.override is None:
                self.document.origins[*path, index] = self.origin(child)
            values.append(self.read(child, (*path, index), (*above, node)))
        return values

    def read_scalar(self, node: yaml.ScalarNode) -> JsonValue:
        kind, text = node.tag.removeprefix(_TAG), str(node.value)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            value: JsonValue = {"int": _parse_int, "float": _parse_float}[kind](text)
        except (KeyError, ValueError):
            self.refuse(node, f"expected a finite number, true, false, null or text, found {text[:40]!r} as {kind!r}")
            return None
        return value


def _parse_int(text: str) -> int:
    value = int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if value.bit_length() > _MAX_INT_BITS:
        raise ValueError(text[:40])
    return value


def _parse_float(text: str) -> float:
    value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError(text)
    return value
