"""Train as a Ray job: the cluster's head runs this, and it goes on where an earlier attempt was stopped.

ray job submit --working-dir . -- python -m jobs.train jobs/train.yaml --cluster cluster/gpu-spot.yaml
"""

from pathlib import Path
from typing import Annotated

import typer

from hoiray.cli.train import run_train
from hoiray.cli.train_request import Request
from hoiray.errors import HoirayError


def main(
    config: Annotated[Path, typer.Argument(help="Run file with a section `training`.")],
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: its section `train` says where.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop cleanly after so long.", min=0.0)] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field.")] = None,
) -> None:
    """Train on the cluster this job runs on."""
    run_train(
        Request(
            config=config,
            cluster=cluster,
            minutes=minutes,
            overrides=overrides or [],
            ray_address="auto",
            resume=True,
        )
    )


if __name__ == "__main__":
    try:
        typer.run(main)
    except HoirayError as error:
        raise SystemExit(f"error: {error}") from None
