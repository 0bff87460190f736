"""`hoiray plugin`: what a predictor's author needs."""

import json
from collections.abc import Sequence
from typing import Any, Final

import typer

from hoiray.errors import EXIT_FAILED, ConfigError, describe

_MARKS: Final = {"passed": "ok     ", "failed": "FAILED ", "skipped": "skipped"}


def check_plugin(name: str, *, checkpoint: str | None, options: Sequence[str], tip_set: str, device: str) -> int:
    """Make a predictor as a run would, check its contract, and say what became of every check.

    Args:
        name: of an entry point, or a dotted path.
        checkpoint: URI of its weights; None: it needs none.
        options: `key=value`, the value in JSON or a plain text.
        tip_set: that its finger tips are of.
        device: where it computes.

    Returns:
        The exit status: 1 where a check failed.

    Raises:
        ConfigError: there is no such predictor, or it does not take these options.
    """
    from hoiray.config.what import RunConfig
    from hoiray.predictors.contract import CHECKS, check_predictor
    from hoiray.stages.teacher import open_teacher

    teacher = {"predictor": name, "checkpoint_uri": checkpoint, "options": dict(map(_option, options))}
    run = RunConfig.model_validate(
        {
            "output_uri": "unused",
            "videos": {"uri": "unused"},
            "hand": {"flat_hand_mean": True, "tip_set": tip_set},
            "teacher": teacher,
        }
    )
    predictor = open_teacher(run, device=device, batch_size=4)
    results = check_predictor(predictor)
    for result in results:
        promise = (CHECKS[result.name].__doc__ or "").splitlines()[0]
        typer.echo(f"{_MARKS[result.outcome]} {result.name}: {result.message or promise}")
    num_failed = sum(result.outcome == "failed" for result in results)
    num_skipped = sum(result.outcome == "skipped" for result in results)
    typer.echo(f"{predictor.name}: {len(results)} checks, {num_failed} failed, {num_skipped} skipped")
    return EXIT_FAILED if num_failed else 0


def _option(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        fix = "Write it as --option depth=3."
        raise ConfigError(describe(what="--option", expected="key=value", found=repr(text), fix=fix))
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
