"""The folder of an export: it is complete when `export.json` is there, which is written last.

Until then `export.unfinished.json` names the export that is being written. The same export may be begun again over it,
as the same labels give the same files; nothing else is ever written over.
"""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store

DONE_KEY: Final = "export.json"
UNFINISHED_KEY: Final = "export.unfinished.json"

Identity = Mapping[str, Any]
"""What the files follow from: labels, format, options, versions."""


def begin_export(out: Store, identity: Identity) -> bool:
    """Take a folder for an export.

    Returns:
        Whether it has to be written; False where the very same export is complete already.

    Raises:
        ConfigError: something else lies there.
    """
    done = out.read_if_there(DONE_KEY)
    if done is not None:
        _require_same(out, DONE_KEY, done, identity)
        return False
    begun = out.read_if_there(UNFINISHED_KEY)
    if begun is not None:
        _require_same(out, UNFINISHED_KEY, begun, identity)
        return True
    there = [info.key for info in islice(out.objects(), 3)]
    if there:
        fix = "Name an empty folder."
        raise ConfigError(describe(what=out.uri, expected="an empty folder", found=", ".join(there), fix=fix))
    out.write(UNFINISHED_KEY, _encode({"identity": dict(identity)}))
    return True


def finish_export(out: Store, identity: Identity, content: Mapping[str, Any]) -> dict[str, Any]:
    """Declare an export complete.

    Args:
        out: its folder, all files written.
        identity: as it was begun.
        content: what else `export.json` tells.

    Returns:
        What `export.json` holds.
    """
    sizes = [info.size_bytes for info in out.objects() if info.key != UNFINISHED_KEY]
    told = {"identity": dict(identity), **content, "num_files": len(sizes), "num_bytes": sum(sizes)}
    out.write(DONE_KEY, _encode(told), durable=True)
    out.delete(UNFINISHED_KEY)
    return told


def abandon_export(out: Store) -> None:
    """Take back the mark of an export of which nothing else was written."""
    if all(info.key == UNFINISHED_KEY for info in islice(out.objects(), 2)):
        out.delete(UNFINISHED_KEY)


def read_export(out: Store) -> dict[str, Any] | None:
    """Return what a complete export says of itself; None where there is none."""
    data = out.read_if_there(DONE_KEY)
    return None if data is None else dict(json.loads(data))


def _require_same(out: Store, key: str, data: bytes, identity: Identity) -> None:
    try:
        found = json.loads(data).get("identity")
    except (ValueError, AttributeError):
        found = None
    wanted = json.loads(_encode(identity))
    if found == wanted:
        return
    found = found if isinstance(found, dict) else {}
    other = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    told = ", ".join(f"{name} {found.get(name)!r}" for name in other[:3])
    expected = ", ".join(f"{name} {wanted.get(name)!r}" for name in other[:3])
    fix = "Name another folder, or empty this one."
    raise ConfigError(describe(what=out.url(key), expected=f"this export ({expected})", found=told or "junk", fix=fix))


def _encode(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
