"""What every writer is given, and what it must offer.

A recording is simulated and rendered once; each of its frames, a :class:`Shot`, goes to the writers of all formats
asked for. What depends on the whole data set, and so on other recordings (lists, numbers of images), is in the
:class:`Slot` before a recording begins, or is put together by the driver when all have ended.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import TIP_JOINTS, tip_vertices
from hoiray.io.store import Store
from hoiray.synthetic.objects import ObjectMesh, build_object
from hoiray.synthetic.scene import HandView, ObjectView, Recording, RenderedFrame, View

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel
    from hoiray.synthetic.world import SplitName

FloatArray = NDArray[np.floating]
Part: TypeAlias = dict[str, Any]
"""What a recording leaves for the driver: plain data that JSON can hold."""


@dataclass(frozen=True, eq=False)
class HandTruth:
    """A hand of a view, posed: vertices (778, 3) and joints (21, 3) metres, camera axes, simple order."""

    view: HandView
    vertices: FloatArray
    chain_joints: FloatArray

    def joints_3d(self, tip_set: str) -> FloatArray:
        """Return the (21, 3) joints with the tips a data set uses.

        Raises:
            ConfigError: the tip set is unknown.
        """
        joints = np.array(self.chain_joints)
        joints[list(TIP_JOINTS)] = self.vertices[list(tip_vertices(tip_set, is_right=self.view.is_right))]
        return joints


@dataclass(frozen=True, eq=False)
class ObjectTruth:
    """An object of a view with its model."""

    view: ObjectView
    mesh: ObjectMesh


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of one camera: what is true, and what was drawn."""

    view: View
    pixels: RenderedFrame
    hands: tuple[HandTruth, ...]
    objects: tuple[ObjectTruth, ...]

    def hand_mask(self, hand_index: int) -> NDArray[np.bool_]:
        """(H, W) pixels that show a hand."""
        return np.asarray(self.pixels.labels == 1 + hand_index)

    def object_mask(self, object_index: int) -> NDArray[np.bool_]:
        """(H, W) pixels that show an object."""
        return np.asarray(self.pixels.labels == 1 + len(self.hands) + object_index)

    @property
    def target_hand_index(self) -> int:
        """The hand a data set of one hand annotates: the first that is no distractor.

        Raises:
            ContractError: every hand is a distractor.
        """
        found = next((index for index, hand in enumerate(self.hands) if hand.view.is_target), None)
        if found is None:
            what = f"frame {self.view.frame_index} of recording {self.view.recording_id}"
            fix = "Mark one hand of the recording as its target."
            raise ContractError(describe(what=what, expected="a target hand", found="only distractors", fix=fix))
        return found

    @property
    def target_object_index(self) -> int | None:
        """The object a data set of one object annotates, or None where there is none."""
        return next((index for index, target in enumerate(self.objects) if target.view.is_target), None)


@dataclass(frozen=True)
class Placement:
    """Where a format has put a frame.

    Attributes:
        sample_id: the format's name of the frame, as its reader gives it; None where the frame is no sample.
        video_id: the video it is a frame of, as its reader names it; None in formats of images.
    """

    sample_id: str | None
    video_id: str | None = None


@dataclass(frozen=True)
class Slot:
    """The place of a recording in its data set; every worker computes the same one from the plan.

    Attributes:
        recording_index: of all recordings, in the order of the plan.
        split: where it belongs; a subject is in one split only.
        first_view_index: views (cameras times frames) of earlier recordings of the same side: training or not.
        num_side_views: views of all recordings of that side.
        subject_index: number of the person whose hand is the target, in order of first appearance.
        entropy: seed of choices a writer makes (holes, backgrounds), its own for every recording.
        compression_quality: of lossy files, 1 to 100 as JPEG counts it; drawn with the recording's camera.
    """

    recording_index: int
    split: "SplitName"
    first_view_index: int
    num_side_views: int
    subject_index: int
    entropy: tuple[int, ...]
    compression_quality: float = 95.0

    @property
    def jpeg_quality(self) -> int:
        """The quality as OpenCV takes it."""
        return round(self.compression_quality)

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that one choice does not move another."""
        return np.random.default_rng([*self.entropy, *purpose.encode()])


class RecordingWriter(Protocol):
    """Writes one recording in one format."""

    def add(self, shot: Shot) -> Placement:
        """Write a frame."""

    def close(self) -> Part:
        """Write what needs the whole recording; return what the driver needs of it."""


@dataclass(frozen=True)
class Format:
    """A format the world can be written in.

    Attributes:
        name: on the command line, and of the reader.
        layout: one line for the card.
        begin: opens a writer for a recording.
        finish: writes the lists of the whole set from the recordings' parts, in the order of the plan.
    """

    name: str
    layout: str
    begin: Callable[[Store, Recording, Slot], RecordingWriter]
    finish: Callable[[Store, Sequence[Part]], None]


def refuse_recording(recording: Recording, format_name: str, *, expected: str, found: str, fix: str) -> None:
    """Say that a recording cannot be told in a format.

    Raises:
        ContractError: always.
    """
    what = f"recording {recording.recording_id}, to be written as {format_name}"
    raise ContractError(describe(what=what, expected=expected, found=found, fix=fix))


def require_image_size(recording: Recording, format_name: str, size_wh: tuple[int, int]) -> None:
    """Refuse a recording whose cameras have another image size than the format.

    Raises:
        ContractError: names the camera.
    """
    for camera in recording.cameras:
        if camera.image_size != (size_wh[1], size_wh[0]):
            found = f"{camera.image_size[1]} x {camera.image_size[0]} px in camera {camera.camera_id}"
            fix = "Write the domain in its own formats."
            expected = f"{size_wh[0]} x {size_wh[1]} px"
            refuse_recording(recording, format_name, expected=expected, found=found, fix=fix)


def require_right_target(recording: Recording, format_name: str) -> None:
    """Refuse a recording whose target is a left hand, where a format holds right hands only.

    Raises:
        ContractError: the target is a left hand.
    """
    if not next((hand.is_right for hand in recording.hands if hand.is_target), True):
        fix = "The format tells no side and all its hands are right ones: write the domain in its own formats."
        refuse_recording(recording, format_name, expected="a right hand", found="a left one", fix=fix)


@lru_cache(maxsize=1)
def truth_model() -> "HandModel":
    """The hand the world is made of: the packaged open hand in double precision, absolute poses."""
    import torch

    from hoiray.hand.model import HandModel

    return HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64).eval()


def pose_views(views: Sequence[View]) -> list[tuple[HandTruth, ...]]:
    """Pose every hand of every view, in one batch."""
    import torch

    flat = [hand for view in views for hand in view.hands]
    if not flat:
        return [() for _ in views]
    fields = ("global_orient", "hand_pose", "betas", "transl")
    stacked = [torch.from_numpy(np.stack([getattr(h.mano, f) for h in flat]).astype(np.float64)) for f in fields]
    with torch.no_grad():
        posed = truth_model()(*stacked, is_right=torch.tensor([hand.is_right for hand in flat]))
    vertices, joints = posed.vertices.numpy(), posed.joints.numpy()
    truths = iter([HandTruth(hand, vertices[index], joints[index]) for index, hand in enumerate(flat)])
    return [tuple(next(truths) for _ in view.hands) for view in views]


def object_truths(view: View) -> tuple[ObjectTruth, ...]:
    """Find the models of a view's objects."""
    return tuple(ObjectTruth(target, build_object(target.name)) for target in view.objects)


def film(views: Mapping[str, Sequence[View]], render: Callable[[View, View | None], RenderedFrame]) -> Iterator[Shot]:
    """Go through the views camera by camera and frame by frame.

    Args:
        views: of each camera, in order.
        render: draws a view, given the next one of the same camera for its motion; after the last one nothing moves.
    """
    for frames in views.values():
        later = (*frames[1:], None)
        for view, after, hands in zip(frames, later, pose_views(frames), strict=True):
            yield Shot(view=view, pixels=render(view, after), hands=hands, objects=object_truths(view))


def box_of_points(points_px: FloatArray, image_size: tuple[int, int]) -> FloatArray | None:
    """Return the box (4,) of points (N, 2), cut to an image of (height, width); None where nothing of it is left."""
    height, width = image_size
    low = np.maximum(points_px.min(axis=0), 0.0)
    high = np.minimum(points_px.max(axis=0), (width - 1.0, height - 1.0))
    return np.concatenate([low, high]) if np.all(high > low) else None


def box_of_mask(mask: NDArray[np.bool_]) -> FloatArray | None:
    """Return the box (4,) through the centres of a mask's outermost pixels; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float64)
