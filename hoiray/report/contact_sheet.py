"""A contact sheet of a data set: each annotation laid over its image, close enough to see a wrong convention.

A mesh that is flipped, mirrored, in millimetres or in another camera's axes does not lie on the hand: no number shows
that as quickly as a look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, HandAnnotation, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import InputError
from hoiray.geometry.boxes import from_points, intersection, iou
from hoiray.geometry.cameras import project_points
from hoiray.geometry.crops import apply_affine, crop_affine
from hoiray.geometry.transforms import transform_points
from hoiray.hand.model import HandModel
from hoiray.render.light import Light, sky_ambient
from hoiray.render.overlay import Colour, Image, blend, draw_box, draw_joints, draw_outline, draw_text
from hoiray.render.shade import Mesh, RenderTarget, render
from hoiray.render.sheet import make_sheet

FloatArray = NDArray[np.floating]

RIGHT_COLOUR: Final[Colour] = (0, 114, 178)
LEFT_COLOUR: Final[Colour] = (213, 94, 0)
UNKNOWN_COLOUR: Final[Colour] = (120, 120, 120)
OBJECT_COLOUR: Final[Colour] = (0, 158, 115)
CLOSE_UP_MARGIN: Final = 1.35
"""Side of the close-up, in sides of what is annotated."""
MIN_REGION_PX: Final = 2.0
MESH_OPACITY: Final = 0.6
_OUTSIDE: Final = (245, 245, 245)
_COLUMNS: Final = ("frame, boxes", "close-up", "meshes", "outlines, joints")
_CONTROL_BOX_EDGES: Final = (
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 3),
    (4, 5),
    (4, 6),
    (5, 7),
    (6, 7),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
)
"""Edges between the eight corners, the first eight of the 21 control points."""


@dataclass(frozen=True, eq=False)
class Drawable:
    """A surface to lay over an image; camera frame, metres."""

    vertices_cam: FloatArray
    faces: NDArray[np.integer]
    colour: Colour


def draw_contact_sheet(
    dataset: AnnotatedDataset, entries: Sequence[Sample | DeadLetter], hand: HandModel | None, *, cell_px: int = 240
) -> Image:
    """Draw one row per entry: the frame with its boxes, a close-up bare, with meshes, with outlines and joints.

    Args:
        dataset: read for images and objects.
        entries: what to show; a dead letter takes a row that says so.
        hand: the model the data set's labels were made with, absolute poses (`flat_hand_mean=True`); None leaves the
            hands' meshes out, since another model's surface would not be the label.
        cell_px: side of a cell.

    Returns:
        (H, W, 3) uint8 RGB page, two entries side by side.
    """
    rows, names = [], []
    for entry in entries:
        if isinstance(entry, DeadLetter):
            rows.append(_dead_cells(entry, cell_px))
            names.append("")
            continue
        try:
            image = dataset.image(entry)
        except InputError as error:
            rows.append(_dead_cells(DeadLetter(entry.sample_id, "read image", str(error)), cell_px))
        else:
            rows.append(_cells(dataset, entry, image, hand, cell_px))
        names.append(entry.sample_id)
    return make_sheet(
        rows,
        title=f"{dataset.name} / {dataset.split}",
        subtitle=f"{len(dataset)} samples; blue: right hand, orange: left hand, grey: side unknown, green: object",
        column_headers=_COLUMNS,
        row_headers=[_short(name) for name in names],
    )


def _cells(
    dataset: AnnotatedDataset, sample: Sample, image: Image, hand: HandModel | None, cell_px: int
) -> list[Image | None]:
    frame = _letterboxed(_with_boxes(image, sample), cell_px)
    box = region_of_interest(sample, image.shape[1], image.shape[0])
    if box is None:
        return [frame, None, None, None]
    side = max(box[2] - box[0], box[3] - box[1]) * CLOSE_UP_MARGIN
    A = crop_affine((box[:2] + box[2:]) / 2, side, 0.0, out_size_px=cell_px)
    flags = cv2.INTER_AREA if side > cell_px else cv2.INTER_LINEAR
    close = np.asarray(cv2.warpAffine(image, A[:2], (cell_px, cell_px), flags=flags, borderValue=_OUTSIDE), np.uint8)
    hands = [] if hand is None else _hand_drawables(sample, hand)
    drawables = [] if sample.K is None else [*hands, *_object_drawables(dataset, sample)]
    if not drawables or sample.K is None:
        return [frame, close, None, _with_joints(close, sample, A)]
    shaded, outlined = overlay_meshes(close, drawables, A @ sample.K)
    return [frame, close, shaded, _with_joints(outlined, sample, A)]


def region_of_interest(sample: Sample, width: int, height: int) -> FloatArray | None:
    """The (4,) box around the hands and what they touch, clipped to the image.

    Objects apart from every hand are left out where there is a hand: they would make it small. None where nothing is
    annotated within the image.
    """
    image_box = np.array([0.0, 0.0, width - 1.0, height - 1.0])
    hands = _boxes_in_view([_points_2d(hand, sample.K) for hand in sample.hands], image_box)
    objects = _boxes_in_view([_object_points(item) for item in sample.objects], image_box)
    touched = [box for box in objects if any(iou(box, hand) > 0 for hand in hands)]
    boxes = hands + touched if hands else objects
    return from_points(np.concatenate(boxes).reshape(-1, 2)) if boxes else None


def _boxes_in_view(parts: Sequence[FloatArray | None], image_box: FloatArray) -> list[FloatArray]:
    """The (4,) box around each set of points, cut to the image; what is not in it is left out."""
    boxes = []
    for points in parts:
        seen = points[np.isfinite(points).all(axis=1)] if points is not None else np.zeros((0, 2))
        if len(seen):
            box, is_empty = intersection(from_points(seen), image_box)
            if not is_empty and min(box[2] - box[0], box[3] - box[1]) >= MIN_REGION_PX:
                boxes.append(np.asarray(box))
    return boxes


def _points_2d(hand: HandAnnotation, K: FloatArray | None) -> FloatArray | None:
    if hand.joints_2d_px is not None:
        return hand.joints_2d_px
    if hand.joints_3d is not None and K is not None:
        return project_points(hand.joints_3d, K)
    return None if hand.bbox_xyxy is None else hand.bbox_xyxy.reshape(2, 2)


def _object_points(item: ObjectAnnotation) -> FloatArray | None:
    if item.control_points_2d_px is not None:
        return item.control_points_2d_px
    return None if item.bbox_xyxy is None else item.bbox_xyxy.reshape(2, 2)


def _hand_drawables(sample: Sample, model: HandModel) -> list[Drawable]:
    drawables = []
    for hand in sample.hands:
        is_right = hand.is_right is not False
        if hand.vertices is not None:
            vertices: FloatArray = np.asarray(hand.vertices, np.float64)
        elif hand.mano is not None:
            vertices = posed_vertices(hand, model)
        else:
            continue
        colour = colour_of(hand)
        drawables.append(Drawable(vertices, model.faces(is_right=is_right).numpy(), colour))
    return drawables


def posed_vertices(hand: HandAnnotation, model: HandModel) -> FloatArray:
    """Pose an annotated hand's parameters: (778, 3) metres, camera frame.

    The annotation must have `mano`; a hand of unknown side is taken for a right one.
    """
    assert hand.mano is not None
    values = (hand.mano.global_orient, hand.mano.hand_pose, hand.mano.betas, hand.mano.transl)
    tensors = [torch.as_tensor(np.array(value), dtype=model.dtype) for value in values]
    with torch.no_grad():
        posed = model(*tensors, is_right=torch.tensor(hand.is_right is not False))
    return np.asarray(posed.vertices, np.float64)


def _object_drawables(dataset: AnnotatedDataset, sample: Sample) -> list[Drawable]:
    drawables = []
    for item in sample.objects:
        if item.T_cam_obj is None:
            continue
        try:
            model: ObjectModel | None = dataset.object_model(item.name)
        except InputError:
            continue  # the pose is shown by its control points; the missing file is a matter of the data set's checks
        if model is not None and model.vertices is not None and model.faces is not None:
            drawables.append(Drawable(transform_points(item.T_cam_obj, model.vertices), model.faces, OBJECT_COLOUR))
    return drawables


def overlay_meshes(close: Image, drawables: Sequence[Drawable], K: FloatArray) -> tuple[Image, Image]:
    """Return an image under shaded meshes, and the image with their visible outlines; K (3, 3) is the image's."""
    meshes = [
        Mesh(item.vertices_cam, item.faces, albedo=(np.array(item.colour) / 255.0) ** 2.2 * 0.9 + 0.05)
        for item in drawables
    ]
    up = np.array([0.0, -1.0, 0.0])
    ambient = sky_ambient(up, np.full(3, 0.9), np.full(3, 0.5))
    key = np.array([-0.4, -0.7, -0.6])
    light = Light(key / np.linalg.norm(key), np.full(3, 1.6), ambient, 0)
    size = (close.shape[0], close.shape[1])
    drawn = render(meshes, light, RenderTarget(K, size, 2, background=np.zeros(3)))
    shaded = blend(close, drawn.image, (drawn.coverage > 0).astype(np.float32), opacity=MESH_OPACITY)
    outlined = close
    triangles = drawn.fragments.triangle_id[::2, ::2]
    owner = np.where(triangles >= 0, drawn.mesh_id[np.maximum(triangles, 0)], -1)
    for index, item in enumerate(drawables):
        outlined = draw_outline(outlined, owner == index, item.colour, thickness_px=1)
    return shaded, outlined


def _with_joints(close: Image, sample: Sample, A: FloatArray) -> Image:
    boxes = [(hand.bbox_xyxy, colour_of(hand)) for hand in sample.hands]
    boxes += [(item.bbox_xyxy, OBJECT_COLOUR) for item in sample.objects]
    for box, colour in boxes:
        if box is not None:
            close = draw_box(close, apply_affine(A, box.reshape(2, 2)).ravel(), colour, thickness_px=1)
    for item in sample.objects:
        if item.control_points_2d_px is not None:
            close = draw_control_box(close, apply_affine(A, item.control_points_2d_px))
    for hand in sample.hands:
        points = hand.joints_2d_px
        if points is None and hand.joints_3d is not None and sample.K is not None:
            points = project_points(hand.joints_3d, sample.K)
        if points is not None:
            close = draw_joints(close, apply_affine(A, points), radius_px=2.0, thickness_px=1)
    return close


def draw_control_box(image: Image, points_px: FloatArray) -> Image:
    """Draw the edges between the eight corners of (21, 2) projected control points."""
    canvas = image.copy()
    for first, second in _CONTROL_BOX_EDGES:
        ends = points_px[[first, second]]
        if np.isfinite(ends).all() and np.abs(ends).max() < 1e5:
            start, end = (tuple(round(16 * float(value)) for value in point) for point in ends)
            cv2.line(canvas, start, end, OBJECT_COLOUR, 1, cv2.LINE_AA, 4)
    return canvas


def _with_boxes(image: Image, sample: Sample) -> Image:
    thickness = max(1, round(max(image.shape[:2]) / 240))
    text_px = max(10, round(max(image.shape[:2]) / 24))
    for hand in sample.hands:
        if hand.bbox_xyxy is not None:
            label = {True: "R", False: "L", None: "?"}[hand.is_right]
            image = draw_box(
                image, hand.bbox_xyxy, colour_of(hand), label=label, thickness_px=thickness, text_px=text_px
            )
    for item in sample.objects:
        if item.bbox_xyxy is not None:
            image = draw_box(image, item.bbox_xyxy, OBJECT_COLOUR, thickness_px=thickness)
    return image


def colour_of(hand: HandAnnotation) -> Colour:
    """The colour of a hand's side."""
    return {True: RIGHT_COLOUR, False: LEFT_COLOUR, None: UNKNOWN_COLOUR}[hand.is_right]


def _letterboxed(image: Image, cell_px: int) -> Image:
    height, width = image.shape[:2]
    scale = cell_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    cell = np.full((cell_px, cell_px, 3), _OUTSIDE, np.uint8)
    top, left = (cell_px - size[1]) // 2, (cell_px - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell


def _dead_cells(letter: DeadLetter, cell_px: int) -> list[Image | None]:
    cell = np.full((cell_px, cell_px, 3), _OUTSIDE, np.uint8)
    words = f"dead letter ({letter.stage}): {letter.reason}".split(" ")
    line, y = "", 18.0
    for word in [*words, ""]:
        if not word or len(line) + len(word) > cell_px // 6:
            cell = draw_text(cell, line, (6, y), 9, colour=(170, 30, 30))
            line, y = "", y + 15
        line = f"{line} {word}".strip()
    return [cell, None, None, None]


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else f"...{name[-limit + 3 :]}"
