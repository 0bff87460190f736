"""The camera of a sample, checked before anything is projected with it."""

from hoiray.datasets.sample import FloatArray
from hoiray.errors import ContractError, InputError
from hoiray.geometry.cameras import check_intrinsics


def require_intrinsics(K: FloatArray, image_size_wh: tuple[int, int] | None, *, name: str) -> FloatArray:
    """Return K (3, 3) where a camera of this image can have it.

    Raises:
        InputError: not finite, not of the form of a K, or not of an image of this size; `name` says where it stands.
    """
    try:
        check_intrinsics(K, image_size_wh)
    except ContractError as error:
        raise InputError(f"{name}: {error}") from error
    return K
