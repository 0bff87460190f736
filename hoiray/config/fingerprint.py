"""The fingerprint of a configuration: equal for equal results wanted, different otherwise."""

import hashlib
import json

from pydantic import JsonValue

from hoiray.config.base import Config, WhatConfig
from hoiray.errors import ContractError, describe


def fingerprint(config: Config) -> str:
    """Hash a run, or a part of it (``fingerprint(run.ensemble)``), into 64 hexadecimal digits.

    SHA-256 over canonical JSON: every field with its value, defaults included, keys sorted, no blanks, ASCII only,
    floats in their shortest exact form (``repr``; -0.0 as 0.0). Order of keys, comments, anchors, and whether a
    default was written down or not make no difference; nor do Python's version and its hash seed.

    Left out: fields that came later and are null (``HASHED_IF_SET``),
    ``name`` (a label for people), ``output_uri`` (a copied run keeps its ids), and the whole *where* half
    (machines, pools, batch sizes and retries must not change a result). The content behind a URI is not read here.

    Raises:
        ContractError: ``config`` belongs to the where half, which has no fingerprint.
    """
    if not isinstance(config, WhatConfig):
        found = type(config).__name__
        fix = "Hash the run configuration, or a part of it: machines do not decide results."
        raise ContractError(describe(what="fingerprint", expected="a part of the what half", found=found, fix=fix))
    text = json.dumps(_hashed_values(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    # the class's name keeps two parts with the same fields apart (Ensemble and its base Augmentation)
    return hashlib.sha256(f"{type(config).__name__}\n{text}".encode("ascii")).hexdigest()


def _hashed_values(config: WhatConfig) -> dict[str, JsonValue]:
    return {name: _canonical(getattr(config, name)) for name in type(config).model_fields if _is_hashed(config, name)}


def _is_hashed(config: WhatConfig, name: str) -> bool:
    extra = type(config).model_fields[name].json_schema_extra
    hashed = extra.get("hashed", True) if isinstance(extra, dict) else True
    return hashed is not False and not (hashed == "if set" and getattr(config, name) is None)


def _canonical(value: object) -> JsonValue:
    if isinstance(value, WhatConfig):
        return _hashed_values(value)
    if isinstance(value, dict):
        return {key: _canonical(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(child) for child in value]
    if isinstance(value, float):
        return value + 0.0  # turns -0.0 into 0.0, which is the same limit
    if value is None or isinstance(value, bool | int | str):
        return value
    expected = "text, numbers, lists and mappings"
    fix = "Give its type a canonical JSON form in _canonical."
    raise ContractError(describe(what="fingerprint", expected=expected, found=repr(value), fix=fix))
