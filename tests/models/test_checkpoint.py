import dataclasses
import json
from pathlib import Path

import pytest
import torch
from network_batches import make_batch, make_network, open_hand, tiny_config
from safetensors.torch import save

from hoiray.config.network import network_preset
from hoiray.errors import ContractError, InputError
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import (
    hand_digest,
    inspect_checkpoint,
    pack_checkpoint,
    read_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
)

SOURCE = "models/teacher.safetensors"


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack_checkpoint(make_network(seed=5), notes={"steps": 12, "data": ["lab"]})


def test_a_network_comes_back_as_it_was(packed: bytes) -> None:
    network = make_network(seed=5).eval()
    again, info = unpack_checkpoint(packed, open_hand(), source=SOURCE)
    assert not again.training
    inputs = make_batch(tiny_config()).inputs
    with torch.no_grad():
        assert torch.equal(network(inputs).joints_3d_m, again(inputs).joints_3d_m)
        assert torch.equal(network(inputs).object_points_unit, again(inputs).object_points_unit)
    assert info.config == tiny_config()
    assert info.notes == {"steps": 12, "data": ["lab"]}
    assert (info.tip_set, info.source) == ("ho3d", SOURCE)
    assert inspect_checkpoint(packed, source=SOURCE) == info


def test_the_same_network_is_the_same_file_and_another_is_not(packed: bytes) -> None:
    assert pack_checkpoint(make_network(seed=5), notes={"data": ["lab"], "steps": 12}) == packed
    digests = {
        inspect_checkpoint(data, source=SOURCE).digest
        for data in (packed, pack_checkpoint(make_network(seed=6)), pack_checkpoint(make_network(seed=5)))
    }
    assert len(digests) == 3


def test_half_precision_halves_the_file_and_keeps_statistics_whole() -> None:
    network = make_network()
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.fill_(1e6)  # beyond float16
    whole, half = (pack_checkpoint(network, storage=storage) for storage in ("float32", "float16"))  # type: ignore[arg-type]
    assert len(half) < 0.75 * len(whole)
    again, _ = unpack_checkpoint(half, open_hand(), source=SOURCE)
    for (name, value), other in zip(network.state_dict().items(), again.state_dict().values(), strict=True):
        assert other.dtype == value.dtype
        exact = "running_" in name or not value.is_floating_point()
        torch.testing.assert_close(other, value, atol=0.0 if exact else 1e-4, rtol=0.0 if exact else 1e-3)


def test_nano_is_small_and_shipped_at_half_precision_in_well_under_five_megabytes() -> None:
    network = make_network(network_preset("nano"))
    assert len(pack_checkpoint(network)) < 5_300_000
    assert len(pack_checkpoint(network, storage="float16")) < 2_700_000


def test_a_checkpoint_carries_no_hand_model() -> None:
    network = make_network()
    names = network.state_dict().keys()
    shapes = {tuple(value.shape) for value in network.state_dict().values()}
    assert not [name for name in names if name.startswith("hand.")]
    assert (778, 3) not in shapes


def test_a_weight_that_is_no_number_is_never_saved() -> None:
    network = make_network()
    with torch.no_grad():
        network.hand_decoder.pose.bias[0] = torch.nan
    with pytest.raises(ContractError, match=r"hand_decoder\.pose\.bias"):
        pack_checkpoint(network)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.999])
def test_a_single_changed_bit_is_found(packed: bytes, place: float) -> None:
    index = int(len(packed) * place)
    changed = packed[:index] + bytes([packed[index] ^ 1]) + packed[index + 1 :]
    with pytest.raises(ContractError, match=r"models/teacher\.safetensors"):
        unpack_checkpoint(changed, open_hand(), source=SOURCE)


@pytest.mark.parametrize(("old", "new"), [(b"steps", b"stepz"), (b"ho3d", b"kypt"), (b"six_d", b"pca")])
def test_changed_text_is_found(packed: bytes, old: bytes, new: bytes) -> None:
    assert old in packed
    changed = packed.replace(old, new.ljust(len(old)))
    with pytest.raises(ContractError, match=r"models/teacher\.safetensors: expected content"):
        unpack_checkpoint(changed, open_hand(), source=SOURCE)


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_file_that_was_cut_short_is_refused(packed: bytes, length: int) -> None:
    with pytest.raises(ContractError, match="cut short"):
        unpack_checkpoint(packed[:length], open_hand(), source=SOURCE)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"hoiray": "[1]"}, {"hoiray": '{"format": "other"}'}])
def test_another_programs_weights_are_refused(metadata: dict[str, str] | None) -> None:
    foreign = save({"weight": torch.zeros(3)}, metadata=metadata)
    with pytest.raises(ContractError, match="another program's weights"):
        unpack_checkpoint(foreign, open_hand(), source=SOURCE)


def resigned(packed: bytes, **changes: str) -> bytes:
    """A file whose text is changed and whose digest is right again: by somebody who knows how."""
    from safetensors.torch import load

    from hoiray.models import checkpoint

    text = json.loads(json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])["__metadata__"]["hoiray"])
    tensors = load(packed)
    text = {key: value for key, value in text.items() if key != "sha256"} | changes
    text["sha256"] = checkpoint._content_digest(tensors, text)
    return save(tensors, metadata={"hoiray": json.dumps(text, sort_keys=True)})


def test_a_later_format_is_refused_with_the_version_that_wrote_it(packed: bytes) -> None:
    with pytest.raises(ContractError, match=r"format version 1, found 2.*written by hoiray 9\.9"):
        unpack_checkpoint(resigned(packed, format_version="2", hoiray_version="9.9"), open_hand(), source=SOURCE)


def test_weights_of_another_network_are_refused(packed: bytes) -> None:
    other = tiny_config(obj=tiny_config().obj.model_copy(update={"channels": 16}))
    with pytest.raises(ContractError, match=r"missing, foreign or of another shape \(object_decoder"):
        unpack_checkpoint(resigned(packed, network=other.model_dump_json()), open_hand(), source=SOURCE)


def test_an_option_this_version_does_not_know_is_refused(packed: bytes) -> None:
    config = json.loads(tiny_config().model_dump_json()) | {"depth_sensor": True}
    with pytest.raises(ContractError, match="depth_sensor"):
        unpack_checkpoint(resigned(packed, network=json.dumps(config)), open_hand(), source=SOURCE)


def test_another_hand_model_or_other_tips_are_refused(packed: bytes) -> None:
    arrays = open_hand().arrays
    longer = dataclasses.replace(arrays, v_template=arrays.v_template * 1.01)
    assert hand_digest(longer) != hand_digest(arrays)
    with pytest.raises(ContractError, match="hand model"):
        unpack_checkpoint(packed, HandModel(longer, flat_hand_mean=True, tip_set="ho3d"), source=SOURCE)
    with pytest.raises(ContractError, match="finger tips 'ho3d'"):
        unpack_checkpoint(packed, HandModel(arrays, flat_hand_mean=True, tip_set="freihand"), source=SOURCE)


def test_a_checkpoint_needs_no_pretrained_file_any_more(packed: bytes) -> None:
    config = tiny_config()
    backbone = config.backbone.model_copy(update={"weights_uri": "gone.pth"})
    text = config.model_copy(update={"backbone": backbone}).model_dump_json()
    network, _ = unpack_checkpoint(resigned(packed, network=text), open_hand(), source=SOURCE)
    assert network.config.backbone.weights_uri == "gone.pth"


def test_files_are_written_whole_and_read_by_name(tmp_path: Path) -> None:
    uri = f"{tmp_path}/deep/teacher.safetensors"
    digest = write_checkpoint(uri, make_network(), storage="float16")
    _, info = read_checkpoint(uri, open_hand())
    assert (info.digest, info.source) == (digest, uri)
    with pytest.raises(InputError, match=r"nobody\.safetensors"):
        read_checkpoint(f"{tmp_path}/nobody.safetensors", open_hand())
