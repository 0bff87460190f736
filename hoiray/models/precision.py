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
    def choose(cls, wish: PrecisionName, device: torch.device, *, what: str = "training.precision") -> "Precision":
        """Settle what was configured on the device that is there.

        Args:
            wish: what was configured.
            device: that computes.
            what: the field it was configured by, for errors.

        `auto` is bfloat16 where the device computes in it: GPUs since 2020, CPUs with matrix tiles (AMX), where a step
        of `nano` takes two thirds of its time in float32, and a prediction half of it. It is float16 on older GPUs, and
        float32 on other CPUs, where bfloat16 is converted back and forth and slower.

        Raises:
            ConfigError: float16 was asked for on a CPU.
        """
        if device.type != "cuda":
            if wish == "float16":
                fix = f"Set {what} to auto, bfloat16 or float32."
                found = f"{wish} on a CPU"
                raise ConfigError(describe(what=what, expected="a GPU", found=found, fix=fix))
            is_half = wish == "bfloat16" or (wish == "auto" and device.type == "cpu" and computes_bfloat16())
            return cls(device.type, torch.bfloat16 if is_half else None)
        if wish == "float32":
            return cls(device.type, None)
        if wish == "auto":
            wish = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return cls(device.type, _DTYPES[wish])

    def autocast(self) -> AbstractContextManager[object]:
        """The context of the forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device_type, dtype=self.dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """A loss scaler where gradients would underflow: in float16 only, whose range is short."""
        return torch.amp.GradScaler(self.device_type) if self.dtype is torch.float16 else None


def computes_bfloat16() -> bool:
    """Tell whether this CPU multiplies matrices of bfloat16 in hardware (Intel's AMX)."""
    return bool(torch.cpu._is_amx_tile_supported())  # torch has no public name for it
