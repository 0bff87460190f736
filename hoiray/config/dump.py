"""A configuration as YAML that a person can read: every field with its meaning, and it loads back equal."""

import textwrap
from typing import Final

import yaml

from hoiray.config.base import Config
from hoiray.config.document import is_plain_text

_WIDTH: Final = 110


def dump(config: Config) -> str:
    """Write the resolved configuration, defaults included, as commented YAML.

    Returns:
        Text that ``parse_run`` or ``parse_cluster`` reads back into an equal configuration.
    """
    return "\n".join(_model_lines(config, "")) + "\n"


def _model_lines(config: Config, indent: str) -> list[str]:
    lines: list[str] = []
    for name, info in type(config).model_fields.items():
        lines += textwrap.wrap(
            info.description or "", _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        lines += _field_lines(name, getattr(config, name), indent)
    return lines


def _field_lines(name: str, value: object, indent: str) -> list[str]:
    if isinstance(value, Config):
        return [f"{indent}{name}:", *_model_lines(value, f"{indent}  ")]
    if isinstance(value, dict) and value:
        entries = [line for key, child in value.items() for line in _field_lines(_text(key), child, f"{indent}  ")]
        return [f"{indent}{name}:", *entries]
    return [f"{indent}{name}: {_flow(value)}"]


def _flow(value: object) -> str:
    """Write a value on one line."""
    if isinstance(value, Config):
        return _flow(value.model_dump())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(child) for child in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    # repr is the shortest text that reads back as the same float
    return "null" if value is None else repr(value)


def _text(value: str) -> str:
    if is_plain_text(value):
        return value
    quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.removesuffix("\n")
