"""The predictor that a run asks for: hoiray's network, a plug-in that is installed, or one that is named by its path.

A plug-in is a function `make(*, checkpoint_uri, hand_path, device, **options)` that returns a
:class:`~hoiray.predictors.protocol.Predictor`. It is found by the name of an entry point of the group
`hoiray.predictors`, or by a dotted path such as `package.module.make`.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, get_args

from hoiray.config.what import PrecisionName, RunConfig
from hoiray.errors import ConfigError, describe
from hoiray.io.store import open_uri
from hoiray.predictors.detector import FindsHands
from hoiray.predictors.protocol import Predictor
from hoiray.stages.wanted import asks_for_boxes

NETWORK: Final = "network"
LANDMARKS: Final = "landmarks"
PACKAGED: Final = {LANDMARKS: "hoiray.predictors.landmarks.predictor.make_landmarks"}
"""Plug-ins that come with hoiray."""

GROUP: Final = "hoiray.predictors"

_PRECISION: Final = "precision"
"""The one option of hoiray's network: the number format it computes in (:mod:`hoiray.models.precision`)."""


def open_teacher(run: RunConfig, *, device: str, batch_size: int) -> Predictor:
    """Load the teacher of a run.

    Args:
        run: what is asked for.
        device: `auto`, `cpu`, `cuda`, ...
        batch_size: hands of one batch; the network takes all their views in one pass.

    Raises:
        ConfigError: there is no such predictor, it does not take these options, or the run assumes another hand.
        InputError: its weights are not there.
        ContractError: they are damaged, or it is no predictor.
    """
    with hand_file(run.hand.model_uri) as hand_path:
        if run.teacher.predictor == NETWORK:
            predictor = _network(run, hand_path, device, batch_size)
        else:
            predictor = _plug_in(run, hand_path, device)
    if predictor.tip_set != run.hand.tip_set:
        expected, found = f"{predictor.tip_set!r}, as {predictor.name} was trained", repr(run.hand.tip_set)
        raise ConfigError(
            describe(what="hand.tip_set", expected=expected, found=found, fix="Change it in the run file.")
        )
    return predictor


def device_of(predictor: Predictor, asked: str) -> str:
    """Return where a predictor computes: as it says by an attribute `device`, else as it was asked to, else a CPU."""
    told = getattr(predictor, "device", None)
    if told is not None:
        return str(told)
    return "cpu" if asked == "auto" else asked


def finder_of(run: RunConfig, predictor: Predictor) -> FindsHands | None:
    """Return who finds the hands of a run that names no boxes; None where boxes are given.

    Raises:
        ConfigError: nobody does.
    """
    if asks_for_boxes(run.videos):
        return None
    if isinstance(predictor, FindsHands):
        return predictor
    raise no_boxes(predictor.name)


def no_boxes(name: str) -> ConfigError:
    """Return the error of a run without boxes whose predictor finds no hands."""
    fix = (
        "Name their file in videos.boxes_uri and its format in videos.box_format, name a detector, or take a teacher"
        f" that finds hands: {LANDMARKS}."
    )
    expected = f"boxes of the hands, which {name} does not find by itself"
    return ConfigError(describe(what="videos.box_format", expected=expected, found="none", fix=fix))


def open_detector(run: RunConfig, *, device: str) -> FindsHands | None:
    """Load the detector of a run; None where it names none.

    Args:
        run: what is asked for.
        device: `auto`, `cpu`, `cuda`, ...

    Raises:
        InputError: its weights are not there.
        ContractError: they are not of its network.
        ConfigError: there is no such device.
    """
    if run.detector is None:
        return None
    from hoiray.predictors.box_detector import load_detector

    return load_detector(run.detector, device=device)


def run_digests(run: RunConfig) -> dict[str, str | None]:
    """Return the digests of the files a run's predictions depend on, as :func:`hoiray.stages.ids.make_predict_id` asks.

    Raises:
        InputError: a file is not there.
    """
    return {
        "weights_sha256": digest_of(run.teacher.checkpoint_uri),
        "hand_model_sha256": digest_of(run.hand.model_uri),
        "detector_sha256": digest_of(None if run.detector is None else run.detector.checkpoint_uri),
    }


def digest_of(uri: str | None) -> str | None:
    """Return the SHA-256 of what a URI points at; None for None.

    Raises:
        InputError: it is not there.
    """
    if uri is None:
        return None
    store, key = open_uri(uri)
    return hashlib.sha256(store.read(key)).hexdigest()


def _network(run: RunConfig, hand_path: Path | None, device: str, batch_size: int) -> Predictor:
    from hoiray.predictors.load import load_network

    teacher = run.teacher
    if teacher.checkpoint_uri is None:
        fix = "Name the file that a training wrote."
        raise ConfigError(describe(what="teacher.checkpoint_uri", expected="a checkpoint", found="null", fix=fix))
    options = dict(teacher.options)
    precision: Any = options.pop(_PRECISION, "auto")
    if options:
        found, fix = ", ".join(options), "Leave them out."
        raise ConfigError(describe(what="teacher.options of network", expected=_PRECISION, found=found, fix=fix))
    if precision not in get_args(PrecisionName):
        expected, fix = ", ".join(get_args(PrecisionName)), "Leave it out for auto."
        raise ConfigError(
            describe(what=f"teacher.options.{_PRECISION}", expected=expected, found=repr(precision), fix=fix)
        )
    if not run.hand.flat_hand_mean:
        fix = "Set it to true: hoiray's network predicts absolute poses."
        raise ConfigError(describe(what="hand.flat_hand_mean", expected="true", found="false", fix=fix))
    uri = teacher.checkpoint_uri
    predictor = load_network(uri, hand_path=hand_path, device=device, precision=precision).predictor
    return replace(predictor, max_crops=batch_size * run.ensemble.num_views)


def _plug_in(run: RunConfig, hand_path: Path | None, device: str) -> Predictor:
    name = run.teacher.predictor
    make = _find(name)
    options = dict(run.teacher.options)
    try:
        predictor = make(checkpoint_uri=run.teacher.checkpoint_uri, hand_path=hand_path, device=device, **options)
    except TypeError as error:
        fix = "Check teacher.options against what the plug-in says it takes."
        what, expected = f"teacher.predictor {name}", f"options it takes, not {', '.join(options) or 'none'}"
        raise ConfigError(describe(what=what, expected=expected, found=str(error), fix=fix)) from error
    if not isinstance(predictor, Predictor):
        fix = "See hoiray.predictors.protocol."
        found = type(predictor).__name__
        raise ConfigError(
            describe(
                what=f"teacher.predictor {name}", expected="a function that makes a Predictor", found=found, fix=fix
            )
        )
    return predictor


def _find(name: str) -> Callable[..., Any]:
    installed = entry_points(group=GROUP)
    if name in installed.names:
        found: Callable[..., Any] = installed[name].load()
        return found
    module, _, attribute = PACKAGED.get(name, name).rpartition(".")
    if module:
        try:
            named: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise _unknown(name, str(error)) from error
        return named
    raise _unknown(name, f"only {', '.join(sorted({NETWORK, *PACKAGED, *installed.names}))}")


def _unknown(name: str, found: str) -> ConfigError:
    expected = f"{NETWORK}, an installed plug-in of the group {GROUP}, or the dotted path of a function"
    fix = "Check the name; workers must be able to import it too."
    return ConfigError(describe(what=f"teacher.predictor {name!r}", expected=expected, found=found, fix=fix))


@contextmanager
def hand_file(uri: str | None) -> Iterator[Path | None]:
    """Give the user's hand model as a local file."""
    if uri is None:
        yield None
        return
    import tempfile

    store, key = open_uri(uri)
    path = store.local_path(key)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hoiray-hand-") as folder:
        copy = Path(folder) / key.rpartition("/")[2]
        copy.write_bytes(store.read(key))
        yield copy
