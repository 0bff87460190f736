"""A page of accepted and refused labels over their frames, with the reasons in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hoiray.datasets.video_frames import read_frames
from hoiray.geometry.crops import apply_affine, crop_affine
from hoiray.hand.model import HandModel
from hoiray.io.store import open_uri
from hoiray.render.overlay import Colour, Image, draw_box, draw_joints, draw_text
from hoiray.render.sheet import make_sheet
from hoiray.report.contact_sheet import Drawable, overlay_meshes

NUM_COLUMNS: Final = 5
NUM_OF_EACH: Final = 10
CELL_PX: Final = 220
CAPTION_PX: Final = 62
MARGIN: Final = 1.9
"""Side of the close-up over that of the hand's box."""

FAR_M: Final = 10.0
"""Meshes are drawn from this far away, which makes the camera the weak-perspective one they were fitted with."""

OUTSIDE: Final[Colour] = (60, 62, 66)
GOOD: Final[Colour] = (0, 128, 92)
BAD: Final[Colour] = (196, 70, 10)
JPEG_QUALITY: Final = 80
MAX_SHOWN_REASONS: Final = 2

WORDS: Final[Mapping[str, str]] = {
    "box_iou": "mesh does not fill its box",
    "reprojection": "2D and 3D joints disagree",
    "bone_length": "a bone too short",
    "joint_angle": "a joint bent too far",
    "spread_2d": "views disagree in 2D",
    "spread_3d": "views disagree in 3D",
    "spread_rotation": "views disagree in rotation",
    "motion_2d": "jumps in the image",
    "motion_pose": "pose jumps",
    "no_predecessor": "no frame before it",
    "predecessor_refused": "frame before is refused",
    "held_sample": "pose held, image moved",
    "duplicate": "same hand twice",
    "shape_deviation": "shape unlike its track's",
    "hand_size": "hand too large or small",
    "confidence": "low confidence",
    "not_measured": "could not be measured",
}


def choose_rows(
    is_accepted: NDArray[np.bool_],
    reasons: NDArray[np.bool_],
    videos: Sequence[str],
    is_answered: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Draw what is shown by lot, blind to the truth: accepted rows of different videos, refused ones reason by reason.

    Args:
        is_accepted: (N,).
        reasons: (N, R).
        videos: (N,).
        is_answered: (N,) rows without a prediction have nothing to draw.
        seed: of the lot.

    Returns:
        Row numbers, at most :data:`NUM_OF_EACH` accepted ones, then as many refused ones.
    """
    order = np.random.default_rng(seed).permutation(len(videos))
    accepted: dict[str, int] = {}
    for row in order[is_accepted[order] & is_answered[order]]:
        accepted.setdefault(videos[row], int(row))
    refused: list[int] = []
    # rows with few reasons first: they show what their reason means
    by_number = order[np.argsort(reasons[order].sum(axis=1), kind="stable")]
    candidates = by_number[~is_accepted[by_number] & is_answered[by_number]]
    shown: set[str] = set()
    for _ in range(NUM_OF_EACH):
        for reason in range(reasons.shape[1]):
            fitting = (row for row in candidates if reasons[row, reason] and videos[row] not in shown)
            row = next(fitting, None)
            if row is not None and len(refused) < NUM_OF_EACH:
                refused.append(int(row))
                shown.add(videos[row])
    return np.array([*list(accepted.values())[:NUM_OF_EACH], *refused], dtype=np.intp)


def draw_labels(rows: Sequence[Mapping[str, Any]], uris: Sequence[str], pa_mpjpe_mm: NDArray[np.floating]) -> Image:
    """Draw a page.

    Args:
        rows: labels as dictionaries, accepted ones and refused ones.
        uris: of the video of each, whose frames are numbered as the labels are.
        pa_mpjpe_mm: (N,) true error of each, NaN where not known.

    Returns:
        (H, W, 3) uint8 page.

    Raises:
        InputError: a video is missing or has no such frame.
    """
    model = HandModel.load(None, flat_hand_mean=True, tip_set="ho3d")
    cells: dict[bool, list[Image]] = {True: [], False: []}
    for row, uri, error in zip(rows, uris, pa_mpjpe_mm, strict=True):
        store, key = open_uri(uri)
        image = read_frames(store, key, [row["frame_index"]])[0]
        cells[row["accepted"]].append(_captioned(draw_close_up(row, image, model), row, float(error)))
    grid = [part[start : start + NUM_COLUMNS] for part in cells.values() for start in range(0, len(part), NUM_COLUMNS)]
    return make_sheet(
        grid,
        title="Accepted (green) and refused (orange) labels",
        subtitle="drawn by lot; mesh and joints as predicted; white: given box; PA: true error, unknown to the judge",
    )


def write_picture(path: Path, page: Image) -> None:
    """Write a page as the suffix says (.jpg, .png)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(path.suffix, page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    path.write_bytes(data.tobytes())


def caption_of(row: Mapping[str, Any], pa_mm: float) -> list[str]:
    """Return the lines below a label: the verdict with its true error, and the reasons in words."""
    error = "no true hand" if np.isnan(pa_mm) else f"PA {pa_mm:.1f} mm"
    if row["accepted"]:
        return [f"accepted, {error}"]
    words = [WORDS[name] for name in row["reasons"]]
    more = [f"and {len(words) - MAX_SHOWN_REASONS} more"] if len(words) > MAX_SHOWN_REASONS else []
    return [f"refused, {error}", *words[:MAX_SHOWN_REASONS], *more]


def close_up_affine(row: Mapping[str, Any], cell_px: int) -> NDArray[np.floating]:
    """Return the affine (3, 3) from the image to a square close-up of a label's hand."""
    box = np.array(row["bbox_xyxy"], dtype=np.float64)
    side = max(float((box[2:] - box[:2]).max()), 8.0) * MARGIN
    return crop_affine((box[:2] + box[2:]) / 2, side, 0.0, out_size_px=cell_px)


def cut_close_up(image: Image, A: NDArray[np.floating], cell_px: int) -> Image:
    """Cut a close-up out of a frame; what lies outside of it is grey."""
    is_smaller = np.hypot(A[0, 0], A[1, 0]) < 1.0
    flags = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(image, A[:2], (cell_px, cell_px), flags=flags, borderValue=OUTSIDE), np.uint8)


def draw_close_up(
    row: Mapping[str, Any],
    image: Image,
    model: HandModel | None,
    *,
    cell_px: int = CELL_PX,
    with_joints: bool = True,
) -> Image:
    """Draw a label over a close-up of its frame: mesh in the colour of its verdict, joints, and the box it was given.

    Args:
        row: the label as a dictionary.
        image: (H, W, 3) uint8 RGB, its full frame.
        model: the hand its parameters are of, flat at zero; None draws the joints only.
        cell_px: side of the close-up; lines grow with it.
        with_joints: draw the joints, too: too much for a very small picture.
    """
    A = close_up_affine(row, cell_px)
    close = cut_close_up(image, A, cell_px)
    mesh = None if model is None else label_mesh(row, model)
    if mesh is not None:
        scale, shift = row["camera_scale_px_per_m"], row["camera_shift_px"]
        K = np.array([[scale * FAR_M, 0.0, shift[0]], [0.0, scale * FAR_M, shift[1]], [0.0, 0.0, 1.0]])
        close = overlay_meshes(close, [mesh], A @ K)[0]
    thickness_px = max(1, round(cell_px / 220))
    box = np.array(row["bbox_xyxy"], dtype=np.float64)
    close = draw_box(
        close, apply_affine(A, box.reshape(2, 2)).ravel(), (255, 255, 255), thickness_px=max(1, round(cell_px / 400))
    )
    if not with_joints:
        return close
    joints = np.array(row["joints_2d"], dtype=np.float64).reshape(-1, 2)
    return draw_joints(close, apply_affine(A, joints), radius_px=cell_px / 110, thickness_px=thickness_px)


def label_mesh(row: Mapping[str, Any], model: HandModel) -> Drawable | None:
    """Pose the label's hand, wrist before the camera at :data:`FAR_M`; None without parameters or camera."""
    names = ("global_orient", "hand_pose", "betas")
    if row["camera_scale_px_per_m"] is None or any(row[name] is None for name in names):
        return None
    values = [torch.tensor(row[name], dtype=model.dtype) for name in names]
    with torch.no_grad():
        posed = model(*values, is_right=torch.tensor(row["is_right"]))
    vertices = np.asarray(posed.vertices - posed.joints[0], np.float64) + np.array([0.0, 0.0, FAR_M])
    faces = model.faces(is_right=row["is_right"]).numpy()
    return Drawable(vertices, faces, GOOD if row["accepted"] else BAD)


def _captioned(close: Image, row: Mapping[str, Any], pa_mm: float) -> Image:
    cell = np.full((CELL_PX + CAPTION_PX, CELL_PX, 3), 255, np.uint8)
    colour = GOOD if row["accepted"] else BAD
    cell[:CELL_PX] = close
    cell[CELL_PX : CELL_PX + 4] = colour
    for number, line in enumerate(caption_of(row, pa_mm)):
        place = (4.0, CELL_PX + 13.0 + 14.0 * number)
        cell = draw_text(cell, line, place, 8.5, colour=colour if number == 0 else (38, 40, 44), bold=number == 0)
    return cell
