"""Loading a network as a predictor: its weights, its hand model, and how its crops were cut in training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from hoiray.config.what import PrecisionName
from hoiray.datasets.crop_pixels import Interpolation
from hoiray.datasets.crop_plan import CropSpec
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.predictors.network import NetworkPredictor

if TYPE_CHECKING:
    from hoiray.config.network import NetworkConfig
    from hoiray.models.checkpoint import CheckpointInfo

CROP_NOTE: Final = "crop"
"""Key of a checkpoint's notes under which a training tells how it cut its crops; see :func:`crop_note`."""

_INTERPOLATION: Final = "interpolation"


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A predictor, and what its checkpoint says of itself."""

    predictor: NetworkPredictor
    info: "CheckpointInfo"


def crop_note(spec: CropSpec, interpolation: Interpolation) -> dict[str, Any]:
    """Return what a training puts into its checkpoint's notes under :data:`CROP_NOTE`."""
    return {**asdict(spec), _INTERPOLATION: interpolation}


def network_crops(config: "NetworkConfig", *, integer_centers: bool) -> CropSpec:
    """Return how crops are cut for a network, in training as in prediction."""
    return CropSpec(
        size_px=config.input_px,
        roi_cells=config.regions.cells,
        hand_box_factor=config.regions.hand_box_factor,
        object_box_factor=config.regions.object_box_factor,
        integer_centers=integer_centers,
    )


def crop_spec_of(config: "NetworkConfig", notes: Mapping[str, Any], *, source: str) -> tuple[CropSpec, Interpolation]:
    """Return how a network's crops are cut: as its training noted, else as its preset was published.

    Args:
        config: of the network.
        notes: of its checkpoint.
        source: of the checkpoint, for messages.

    Raises:
        ContractError: the note is none, or tells of crops of another size than the network takes.
    """
    is_released = config.preset == "released"
    spec = network_crops(config, integer_centers=is_released)
    interpolation: Any = "nearest" if is_released else "linear"
    noted = notes.get(CROP_NOTE)
    if noted is not None:
        try:
            fields = dict(noted)
            interpolation = fields.pop(_INTERPOLATION, interpolation)
            told = CropSpec(**fields)
        except (TypeError, ValueError, ConfigError) as error:
            raise _bad_note(source, f"{noted!r} ({error})") from error
        if (told.size_px, told.roi_cells) != (spec.size_px, spec.roi_cells):
            raise _bad_note(source, f"crops of {told.size_px} px and {told.roi_cells} cells")
        spec = told
    if interpolation not in get_args(Interpolation):
        raise _bad_note(source, f"interpolation {interpolation!r}")
    return spec, interpolation


def load_network(
    uri: str, *, hand_path: Path | None, device: str, name: str | None = None, precision: PrecisionName = "auto"
) -> LoadedNetwork:
    """Load a checkpoint.

    Args:
        uri: local or `s3://`.
        hand_path: the user's hand model; None for the open hand. It must be the one of the training.
        device: `cpu`, `cuda`, ...; `auto` takes an accelerator where there is one.
        name: for tables; None for the file's name.
        precision: of the forward pass; `auto`: half of float32 where the device computes in it.

    Raises:
        InputError: the file is not there.
        ContractError: it is no whole, unchanged checkpoint, or of another hand model.
        ConfigError: there is no such device, or it does not compute in that precision.
    """
    import torch

    from hoiray.hand.model import HandModel
    from hoiray.io.store import Store
    from hoiray.models.checkpoint import inspect_checkpoint, unpack_checkpoint
    from hoiray.models.precision import Precision

    folder, _, key = uri.rpartition("/")
    data = Store.open(folder or ("/" if uri.startswith("/") else ".")).read(key)
    tips = inspect_checkpoint(data, source=uri).tip_set
    hand = HandModel.load(hand_path, flat_hand_mean=True, tip_set=tips)
    network, info = unpack_checkpoint(data, hand, source=uri)
    spec, interpolation = crop_spec_of(info.config, info.notes, source=uri)
    chosen = choose_device(device)
    shown = name or Path(key).stem
    computes = Precision.choose(precision, torch.device(chosen), what="teacher.options.precision")
    predictor = NetworkPredictor(network.to(chosen), spec, info.digest, shown, interpolation, computes)
    return LoadedNetwork(predictor, info)


def choose_device(device: str) -> str:
    """Resolve `auto`, and refuse a device that is not there.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = str(error).splitlines()[0]
        fix = "Use --device auto or cpu."
        raise ConfigError(
            describe(what="--device", expected="a device of this machine", found=f"{device!r}: {found}", fix=fix)
        ) from error
    return device


def _bad_note(source: str, found: str) -> ContractError:
    expected = "notes on crops of the network's own size"
    fix = "The checkpoint was written by another version: use that one, or train anew."
    return ContractError(describe(what=f"{source}, notes[{CROP_NOTE!r}]", expected=expected, found=found, fix=fix))
