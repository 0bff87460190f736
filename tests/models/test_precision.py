import pytest
import torch

from hoiray.config.what import PrecisionName
from hoiray.errors import ConfigError
from hoiray.models.precision import Precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("wish", "has_tiles", "dtype"),
    [
        ("float32", True, torch.float32),
        ("auto", False, torch.float32),
        ("auto", True, torch.bfloat16),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_matrix_tiles_or_is_told_to(
    wish: PrecisionName, has_tiles: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_tiles)
    precision = Precision.choose(wish, CPU)
    assert precision.scaler() is None
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision: expected a GPU, found float16 on a CPU"):
        Precision.choose("float16", CPU)


@pytest.mark.parametrize(("has_bfloat16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_the_half_precision_it_has(
    has_bfloat16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bfloat16)
    precision = Precision.choose("auto", GPU)
    assert precision.dtype is dtype
    assert Precision.choose("float32", GPU).dtype is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_only_float16_scales_its_loss() -> None:
    assert Precision.choose("float16", GPU).scaler() is not None
    assert Precision.choose("bfloat16", GPU).scaler() is None
