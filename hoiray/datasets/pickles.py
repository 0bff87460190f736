"""Metas of foreign data sets: pickles read as data (nothing in them is executed), and arrays checked out of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hoiray.datasets.sample import FloatArray
from hoiray.errors import ContractError, InputError, describe
from hoiray.hand.unpickle import parse_pickle
from hoiray.io.store import Store


def read_meta(store: Store, key: str) -> Mapping[str, Any]:
    """Read a pickled dictionary, of Python 2 or 3.

    Raises:
        InputError: the file is missing, truncated, no pickle, holds more than plain data, or is no dictionary. One
            such file spoils one sample, so it is not the set that is refused.
    """
    try:
        loaded = parse_pickle(store.read(key), name=store.url(key))
    except ContractError as error:
        raise InputError(str(error)) from error
    if not isinstance(loaded, dict):
        found = f"a {type(loaded).__name__}"
        fix = "Check that it is the published file."
        raise InputError(describe(what=store.url(key), expected="a pickled dictionary", found=found, fix=fix))
    return loaded


def require_keys(entries: Mapping[str, Any], keys: tuple[str, ...], *, name: str) -> None:
    """Refuse a file that lacks a key.

    Raises:
        InputError: names the file, the missing keys and those that are there.
    """
    missing = [key for key in keys if key not in entries]
    if missing:
        found = f"no {', '.join(missing)} among {', '.join(sorted(map(str, entries)))}"
        fix = "Check the split: training and evaluation files have different keys."
        raise InputError(describe(what=name, expected=f"the keys {', '.join(keys)}", found=found, fix=fix))


def finite_array(entries: Mapping[str, Any], key: str, shape: tuple[int, ...], *, name: str) -> FloatArray:
    """Take an array out of a file.

    Args:
        entries: the file's content.
        key: the entry.
        shape: what it must have; an array with the same number of entries on other axes of length one is reshaped.
        name: the file, for messages.

    Returns:
        float64 of that shape.

    Raises:
        InputError: the key is missing, or its value has another shape, no numbers, or one that is not finite.
    """
    require_keys(entries, (key,), name=name)
    what = f"{name}, {key!r}"
    fix = "Leave this sample out or restore the file."
    try:
        array = np.asarray(entries[key], dtype=np.float64)
    except (TypeError, ValueError):
        found = f"a {type(entries[key]).__name__}"
        raise InputError(describe(what=what, expected=f"numbers of shape {shape}", found=found, fix=fix)) from None
    if array.squeeze().shape != tuple(size for size in shape if size != 1):
        found = f"shape {array.shape}"
        raise InputError(describe(what=what, expected=f"numbers of shape {shape}", found=found, fix=fix))
    num_bad = int(np.count_nonzero(~np.isfinite(array)))
    if num_bad:
        found = f"{num_bad} that are NaN or infinite"
        raise InputError(describe(what=what, expected="finite numbers", found=found, fix=fix))
    return array.reshape(shape)
