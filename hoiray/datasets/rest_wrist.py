"""What readers need of a hand model without building its layer: the right side, and the wrist of the unposed hand."""

from hoiray.datasets.sample import FloatArray
from hoiray.hand.load import HandArrays, mirror_hand_arrays


def rest_wrist(arrays: HandArrays, betas: FloatArray) -> FloatArray:
    """Return J0(betas), metres: a posed hand's wrist is `transl` plus this.

    Args:
        arrays: of the hand's own side.
        betas: (10,).

    Returns:
        (3,) in the model's own frame.
    """
    shaped = arrays.v_template + arrays.shapedirs @ betas
    root: FloatArray = arrays.J_regressor[0] @ shaped
    return root


def of_side(arrays: HandArrays, *, is_right: bool) -> HandArrays:
    """Return the arrays of one side: these, or their mirror image."""
    return arrays if arrays.is_right == is_right else mirror_hand_arrays(arrays)
