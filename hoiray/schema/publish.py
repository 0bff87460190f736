"""The published contract: what the files in ``schemas/`` hold."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hoiray.schema.calibration import Calibration
from hoiray.schema.marker import CommitMarker
from hoiray.schema.tables import TABLES

if TYPE_CHECKING:
    from pydantic import BaseModel


def published_schemas() -> Mapping[str, str]:
    """Return the content of every file in ``schemas/``, by file name."""
    models: dict[str, type[BaseModel]] = {"commit_marker": CommitMarker, "calibration": Calibration}
    documents = {
        f"{name}.json": json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
        for name, model in models.items()
    }
    return {f"{name}.json": schema.to_json() for name, schema in TABLES.items()} | documents
