import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from hoiray.config.network import BackboneConfig
from hoiray.errors import ConfigError, ContractError
from hoiray.models.backbone import Backbone
from hoiray.models.pretrained import load_trunk_weights
from hoiray.models.trunks import LITE0_STAGES, EfficientNetLite0Trunk, ResNetTrunk


def resnet() -> ResNetTrunk:
    return ResNetTrunk("resnet18", "relu")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's: another ResNet-18's weights, and a classifier."""
    torch.manual_seed(3)
    state = resnet().state_dict()
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(state, path)
    return path


def test_a_whole_file_fills_the_trunk_and_its_classifier_is_left_out(published: Path) -> None:
    trunk = resnet()
    assert load_trunk_weights(trunk, str(published)) == ()
    saved = torch.load(published, weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in trunk.state_dict().items())


def test_a_backbone_reads_the_file_its_configuration_names(published: Path) -> None:
    config = BackboneConfig(kind="resnet18", pyramid_channels=8, weights_uri=str(published))
    saved = torch.load(published, weights_only=True)["conv1.weight"]
    assert torch.equal(Backbone(config).trunk.state_dict()["conv1.weight"], saved)
    assert not torch.equal(Backbone(config, loads_weights=False).trunk.state_dict()["conv1.weight"], saved)


def test_safetensors_are_read_too(published: Path, tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    save_file(torch.load(published, weights_only=True), path)
    assert load_trunk_weights(resnet(), f"file://{path}") == ()


def changed(published: Path, tmp_path: Path, *, drop: str | None = None, add: dict[str, Tensor] | None = None) -> Path:
    state = torch.load(published, weights_only=True)
    if drop is not None:
        del state[drop]
    path = tmp_path / "changed.pth"
    torch.save(state | (add or {}), path)
    return path


def test_a_file_with_a_hole_is_refused_by_name_unless_asked_for(published: Path, tmp_path: Path) -> None:
    path = changed(published, tmp_path, drop="layer3.0.conv1.weight")
    with pytest.raises(ContractError, match=r"1 missing \(layer3\.0\.conv1\.weight\)") as caught:
        load_trunk_weights(resnet(), str(path))
    assert str(path) in str(caught.value)
    assert load_trunk_weights(resnet(), str(path), allows_partial=True) == ("layer3.0.conv1.weight",)


def test_foreign_layers_and_shapes_are_refused_by_name(published: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"1 foreign or of another shape \(neck\.weight\)"):
        load_trunk_weights(resnet(), str(changed(published, tmp_path, add={"neck.weight": torch.zeros(3)})))
    with pytest.raises(ContractError, match=r"1 missing \(conv1\.weight\), 1 foreign"):
        load_trunk_weights(resnet(), str(changed(published, tmp_path, add={"conv1.weight": torch.zeros(64, 1, 7, 7)})))


def test_another_networks_file_is_refused_even_in_part(published: Path) -> None:
    with pytest.raises(ContractError, match="EfficientNetLite0Trunk"):
        load_trunk_weights(EfficientNetLite0Trunk(), str(published), allows_partial=True)


def test_the_names_of_efficientnet_lites_package_are_understood(tmp_path: Path) -> None:
    """Its blocks are counted through all stages and its layers are called by what they do."""
    torch.manual_seed(4)
    donor, trunk = EfficientNetLite0Trunk(), EfficientNetLite0Trunk()
    theirs: dict[str, Tensor] = {"_fc.weight": torch.zeros(1000, 1280), "_conv_head.weight": torch.zeros(1280, 320)}
    firsts, number = {}, 0
    for stage, (*_, count) in enumerate(LITE0_STAGES):
        firsts[stage] = number
        number += count
    layers = ["_expand_conv", "_bn0", None, "_depthwise_conv", "_bn1", None, "_project_conv", "_bn2"]
    for name, value in donor.state_dict().items():
        parts = name.split(".")
        if parts[0] == "stem":
            theirs[f"{['_conv_stem', '_bn0'][int(parts[1])]}.{parts[2]}"] = value
            continue
        stage, block, layer = int(parts[1]), int(parts[2]), int(parts[4])
        theirs[f"_blocks.{firsts[stage] + block}.{layers[layer + 3 * (stage == 0)]}.{parts[5]}"] = value
    path = tmp_path / "efficientnet-lite0.pth"
    torch.save(theirs, path)
    assert load_trunk_weights(trunk, str(path)) == ()
    assert all(torch.equal(value, donor.state_dict()[name]) for name, value in trunk.state_dict().items())


def test_nothing_is_downloaded_and_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a local file"):
        load_trunk_weights(resnet(), "https://example.org/resnet18.pth")
    with pytest.raises(ConfigError, match=r"nowhere\.pth"):
        load_trunk_weights(resnet(), str(tmp_path / "nowhere.pth"))


class Bomb:
    """What a malicious file does when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize("content", [b"", b"not a file of weights", pickle.dumps({"conv1.weight": Bomb()}, protocol=2)])
def test_a_damaged_or_malicious_file_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"bad\.pth"):
        load_trunk_weights(resnet(), str(path))
    assert "executed" not in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(ContractError, match="tensors by name"):
        load_trunk_weights(resnet(), str(path))
