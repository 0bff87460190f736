import pytest
import torch

from hoiray.errors import ConfigError
from hoiray.training.precision import Precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_computes_in_float32() -> None:
    for wish in ("auto", "float32"):
        precision = Precision.choose(wish, CPU)  # type: ignore[arg-type]  # mypy sees str
        assert precision.dtype is None
        assert precision.scaler() is None
        with precision.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


@pytest.mark.parametrize("wish", ["bfloat16", "float16"])
def test_half_precision_on_a_cpu_is_refused(wish: str) -> None:
    with pytest.raises(ConfigError, match=f"training.precision: expected a GPU, found {wish} on a CPU"):
        Precision.choose(wish, CPU)  # type: ignore[arg-type]  # mypy sees str


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
