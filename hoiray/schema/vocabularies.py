"""The words that tables may hold: why a measurement is missing, why a row is refused, where a video was given up."""

from typing import Final, Literal, TypeAlias

UNMEASURED_REASONS: Final[dict[str, str]] = {
    "no_box": "no hand box was given for the frame",
    "camera_degenerate": "the joints coincide: no weak-perspective camera exists",
    "camera_mirrored": "the best weak-perspective camera has a scale of zero or less",
    "joints_coincide": "two joints coincide: a bone has no length, a joint no angle",
    "non_finite": "the prediction is missing, or holds NaN or infinity",
    "too_few_members": "fewer than two members of the ensemble gave a prediction",
    "first_of_track": "the track begins here, so there is no predecessor",
    "gap": "the predecessor is further away than the limit on gaps",
    "no_pixels": "the image of the frame or of its predecessor was not at hand",
    "not_attempted": "this measurement does not apply to the row, or the run that made the row did not know it",
}
"""Why a measurement is NaN."""

REJECT_REASONS: Final[dict[str, str]] = {
    "box_iou": "box_iou is below its limit",
    "reprojection": "the reprojection is above its limit",
    "bone_length": "min_bone_length_ratio is below its limit",
    "joint_angle": "max_joint_angle_rad is at its limit or above",
    "spread_2d": "spread_2d_box_sides is above its limit",
    "spread_3d": "spread_3d_m is above its limit",
    "spread_rotation": "spread_rotation_rad is above its limit",
    "motion_2d": "the 2D motion is above its limit",
    "motion_pose": "the motion of the pose is above its limit",
    "no_predecessor": "no consecutive frame of the track to compare with",
    "predecessor_refused": "the frame to compare with fails a spatial limit",
    "held_sample": "held_sample_score is above its limit",
    "duplicate": "another row of the frame has the same box and side: the hand is there once already",
    "shape_deviation": "shape_deviation_sigma is above its limit",
    "hand_size": "the palm is longer or shorter than its limits",
    "confidence": "confidence is below its limit",
    "not_measured": "a limit applies to a measurement that could not be taken; unmeasured says which and why",
}
"""Why a row is not accepted, in the order in which ``reasons`` lists them."""

REFUSAL_REASONS: Final[dict[str, str]] = {
    "empty": "a video of zero bytes",
    "leaves_root": "a name that leaves the folder it was found in",
    "unreadable": "a name that cannot be listed: a broken link, no UTF-8, no access",
    "missing": "named in a list, and not there",
    "duplicate": "the same name, or the same box, a second time",
    "suffix": "a file that is no video by its name",
    "malformed": "a box that breaks its format",
    "not_finite": "a box with NaN or infinity",
    "inverted": "a box without an inside: x1 <= x0 or y1 <= y0",
    "outside": "a box that lies outside the image",
    "no_video": "boxes of a video that is not there",
}
"""Why something was left out when a run was planned."""

Stage: TypeAlias = Literal["index", "decode", "predict", "fuse", "measure", "track", "judge", "commit"]
"""Where a video can be given up."""
