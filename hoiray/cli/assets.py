"""`hoiray assets`: files that hoiray uses and does not ship, fetched once."""

from pathlib import Path

import typer

from hoiray.cli.runnable import runnable


def fetch_landmarks(*, folder: Path | None, wheel: Path | None) -> None:
    """Fetch the landmark networks, and say what may be done next.

    Raises:
        ConfigError, InputError, ContractError: see :func:`hoiray.io.landmark_files.fetch`.
    """
    from hoiray.io.landmark_files import PACKAGE, VERSION, default_folder, fetch

    chosen = default_folder() if folder is None else folder
    kept = fetch(chosen, wheel=wheel)
    size_mb = sum(path.stat().st_size for path in kept) / 1e6
    typer.echo(f"landmarks: {len(kept)} files, {size_mb:.1f} MB, of {PACKAGE} {VERSION} (Apache-2.0) in {chosen}")
    option = () if folder is None else ("--set", f"teacher.options.folder={chosen}")
    step = runnable("label", "my_videos/", "--teacher", "landmarks", "--out", "out/", *option)
    typer.echo(f"label with them: {step}")


def list_assets() -> None:
    """Say what has been fetched."""
    from hoiray.io.landmark_files import COMMAND, default_folder, missing_files

    folder = default_folder()
    missing = missing_files(folder)
    state = f"missing {', '.join(missing)} ({COMMAND})" if missing else "complete"
    typer.echo(f"landmarks: {state}, in {folder}")
