"""In which number format the forward pass computes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from hoiray.config.what import PrecisionName
from hoiray.errors import ConfigError, describe

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A forward pass in float32, or in half precision where that is safe (torch's autocast).

    Attributes:
        device_type: `cpu` or `cuda`.
        dtype: of the half-precision operations; None: everything in float32.
    """

    device_type: str
    dtype: torch.dtype | None

    @classmethod
    def choose(cls, wish: PrecisionName, device: torch.device) -> "Precision":
        """Settle what was configured on the device that is there.

        `auto` is bfloat16 on GPUs that have it, float16 on older ones, and float32 on CPUs, where bfloat16 was
        measured slower than float32.

        Raises:
            ConfigError: half precision was asked for on a CPU.
        """
        if wish == "float32" or (wish == "auto" and device.type != "cuda"):
            return cls(device.type, None)
        if device.type != "cuda":
            fix = "Set training.precision to auto or float32."
            raise ConfigError(describe(what="training.precision", expected="a GPU", found=f"{wish} on a CPU", fix=fix))
        if wish == "auto":
            wish = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return cls(device.type, _DTYPES[wish])

    def autocast(self) -> AbstractContextManager[object]:
        """The context of the forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device_type, dtype=self.dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """A loss scaler where gradients would underflow: in float16 only, whose range is short."""
        return torch.amp.GradScaler(self.device_type) if self.dtype is torch.float16 else None
