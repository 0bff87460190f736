"""The published contract: what the files in ``schemas/`` hold."""

import json
from collections.abc import Mapping

from hoiray.schema.marker import CommitMarker
from hoiray.schema.tables import TABLES


def published_schemas() -> Mapping[str, str]:
    """Return the content of every file in ``schemas/``, by file name."""
    marker = json.dumps(CommitMarker.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    return {f"{name}.json": schema.to_json() for name, schema in TABLES.items()} | {"commit_marker.json": marker}
