"""A Rerun recording of a video's labels: every frame, what is known of each hand in it, and nothing where nothing is.

Rerun goes on showing the last thing it was told. So what a frame does not say any more is cleared in that frame: a hand
without a row is gone, a measurement that was not taken ends its line. Nothing is held, nothing is filled in.

Paths: `image` (the frame) and below it boxes and joints in pixels, `hands` with mesh and joints in metres about each
hand's own wrist (a label does not know how far away a hand is), both split into `accepted` and `refused` first, so
that a click hides what was refused; `measurements/NAME/track_N` and `measurements/NAME/limit`; `verdicts/track_N` in
words, and as fields in `labels/track_N`; `about`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.filters.rules import BOUND_WORDS, Rules
from hoiray.hand.joints import BONES
from hoiray.hand.model import HandModel
from hoiray.io.encode import encode_jpeg
from hoiray.render.overlay import FINGER_COLOURS, Colour, Image, joint_colours
from hoiray.render.shade import vertex_normals
from hoiray.report.label_frame import caption_of_label
from hoiray.report.label_picture import BAD, FAR_M, GOOD, WORDS, label_mesh
from hoiray.report.measures import TITLES
from hoiray.schema.label_columns import MEASUREMENT_NAMES

if TYPE_CHECKING:
    import rerun as rr

PACKAGE: Final = "rerun-sdk"
APPLICATION: Final = "hoiray"
FRAME_LINE: Final = "frame"
"""The timeline of frame numbers as the run counts them."""

TIME_LINE: Final = "video_time"
"""The timeline of seconds in the video."""

CONFIDENCE: Final = "confidence"
JPEG_QUALITY: Final = 80
SHOWN_AT_FIRST: Final = (
    "reprojection_frobenius_box_sides",
    "motion_2d_frobenius_box_sides",
    "spread_2d_box_sides",
    "box_iou",
)
"""Measurements whose lines are open when the recording is; all others are in it too."""

MAX_HAND_VIEWS: Final = 3
"""Of the longest tracks."""

LIMIT_COLOUR: Final = (230, 60, 60)
TRACK_COLOURS: Final = tuple(FINGER_COLOURS[name] for name in ("index", "ring", "middle", "pinky"))

_FLAGS: Final = ("accepted", "is_right")
_WORDS: Final = ("reasons", "unmeasured", "failure", "box_source", "side_source")
_JOINT_RADIUS_PX: Final = 3.0
_JOINT_RADIUS_M: Final = 0.003


class LabelRecording:
    """Write a recording frame by frame."""

    def __init__(
        self, path: Path, *, name: str, about: str, model: HandModel | None, rules: Rules | None = None
    ) -> None:
        """Begin a file.

        Args:
            path: of the file (.rrd).
            name: shown in the viewer. The id is a random one: of two files of one id an open viewer makes one
                recording, and shows all verdicts twice.
            about: Markdown that says whose labels these are.
            model: the hand their parameters are of, flat at zero; None: no meshes.
            rules: their limits; None: not known.
        """
        import rerun as rr

        self._model, self._rules = model, rules
        self._stream = rr.RecordingStream(APPLICATION)
        self._stream.set_log_time_enabled(False)  # when it was written is no fact of the labels
        self._stream.set_log_tick_enabled(False)
        self._stream.save(path)
        self._stream.send_recording_name(name)
        self._stream.log("about", rr.TextDocument(about, media_type=rr.MediaType.MARKDOWN), static=True)
        self._stream.log("hands", rr.ViewCoordinates.RDF, static=True)
        self._shown: set[str] = set()
        self._tracks: Counter[int] = Counter()
        self._lines: set[str] = set()
        self._measured: set[str] = set()

    def add(self, frame_index: int, time_s: float, image: Image, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record a frame.

        Args:
            frame_index: as the run numbers frames; grows.
            time_s: in the video.
            image: (H, W, 3) uint8 RGB.
            rows: its labels as dictionaries, with the columns of the table `labels`.
        """
        import rerun as rr

        self._stream.set_time(FRAME_LINE, sequence=frame_index)
        self._stream.set_time(TIME_LINE, duration=time_s)
        jpeg = encode_jpeg(image, quality=JPEG_QUALITY)
        self._stream.log("image", rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        shown: set[str] = set()
        for row in rows:
            self._tracks[int(row["track_index"])] += 1
            for path, archetype in self._told_of(row):
                self._stream.log(path, archetype)
                shown.add(path)
        for path in sorted(self._shown - shown):
            self._stream.log(path, rr.Clear(recursive=False))
        self._shown = {path for path in shown if not path.startswith("verdicts/")}  # a log is no state
        self._limits()

    def close(self) -> None:
        """Write what is left, and how the recording is laid out when it is opened."""
        measured = [name for name in (CONFIDENCE, *SHOWN_AT_FIRST) if name in self._measured]
        longest = sorted(track for track, _ in self._tracks.most_common(MAX_HAND_VIEWS))
        self._stream.send_blueprint(_blueprint(longest, measured))
        self._stream.flush()
        self._stream.disconnect()

    def _told_of(self, row: Mapping[str, Any]) -> "Iterator[tuple[str, rr.AsComponents]]":
        """Yield all that a label says, by path."""
        import rerun as rr

        track, verdict = f"track_{row['track_index']}", "accepted" if row["accepted"] else "refused"
        yield from _in_pixels(row, f"image/{verdict}/{track}")
        yield from _in_metres(row, self._model, f"hands/{verdict}/{track}")
        for name in (*MEASUREMENT_NAMES, CONFIDENCE):
            value = row[name]
            if value is not None and np.isfinite(value):
                self._measured.add(name)
                path = f"measurements/{name}/{track}"
                self._style(path, track, TRACK_COLOURS[row["track_index"] % len(TRACK_COLOURS)])
                yield path, rr.Scalars([float(value)])
        level = rr.TextLogLevel.INFO if row["accepted"] else rr.TextLogLevel.WARN
        yield f"verdicts/{track}", rr.TextLog(verdict_in_words(row), level=level, color=_colour(row))
        yield f"labels/{track}", rr.AnyValues(**_fields(row))

    def _limits(self) -> None:
        """Draw the limits beside what they limit."""
        import rerun as rr

        for limit in () if self._rules is None else self._rules.limits:
            path = f"measurements/{limit.measurement}/limit"
            self._style(path, f"{BOUND_WORDS[limit.bound]} {limit.value:g}", LIMIT_COLOUR)
            self._stream.log(path, rr.Scalars([limit.value]))

    def _style(self, path: str, name: str, colour: Colour) -> None:
        """Say once how a line is drawn."""
        import rerun as rr

        if path not in self._lines:
            self._lines.add(path)
            self._stream.log(path, rr.SeriesLines(colors=[colour], names=[name]), static=True)


def verdict_in_words(row: Mapping[str, Any]) -> str:
    """Return the verdict with all its reasons."""
    if row["accepted"] or row["failure"] is not None:
        return caption_of_label(row)
    side = "right" if row["is_right"] else "left"
    return f"{side} {row['track_index']}: refused: {'; '.join(WORDS.get(name, name) for name in row['reasons'])}"


def _fields(row: Mapping[str, Any]) -> dict[str, pa.Array]:
    """Return what a program asks of a verdict; nothing is an empty list, which takes back what was told before."""

    def words(value: list[str] | str | None) -> list[str]:
        return [] if value is None else [value] if isinstance(value, str) else value

    flags = {name: pa.array([row[name]], pa.bool_()) for name in _FLAGS}
    return flags | {name: pa.array(words(row[name]), pa.string()) for name in _WORDS}


def _in_pixels(row: Mapping[str, Any], path: str) -> "Iterator[tuple[str, rr.AsComponents]]":
    import rerun as rr

    def box(value: Any, label: str, colour: tuple[int, int, int]) -> rr.Boxes2D:  # noqa: ANN401 - a cell of a row
        corners = np.array(value, np.float32).reshape(1, 4)
        return rr.Boxes2D(array=corners, array_format=rr.Box2DFormat.XYXY, labels=[label], colors=[colour])

    yield f"{path}/box", box(row["bbox_xyxy"], caption_of_label(row), _colour(row))
    if row["object_bbox_xyxy"] is not None:
        yield f"{path}/object_box", box(row["object_bbox_xyxy"], row["object_id"] or "object", (200, 200, 200))
    if row["joints_2d"] is not None:
        joints = np.array(row["joints_2d"], np.float32).reshape(-1, 2)
        yield f"{path}/joints", rr.Points2D(joints, colors=joint_colours(), radii=_JOINT_RADIUS_PX)
        yield f"{path}/bones", rr.LineStrips2D(_bones(joints), colors=_bone_colours())


def _in_metres(row: Mapping[str, Any], model: HandModel | None, path: str) -> "Iterator[tuple[str, rr.AsComponents]]":
    import rerun as rr

    if row["joints_3d"] is not None:
        joints = np.array(row["joints_3d"], np.float32).reshape(-1, 3)
        yield f"{path}/joints", rr.Points3D(joints, colors=joint_colours(), radii=_JOINT_RADIUS_M)
        yield f"{path}/bones", rr.LineStrips3D(_bones(joints), colors=_bone_colours())
    mesh = None if model is None else label_mesh(row, model)
    if mesh is not None:
        vertices = np.asarray(mesh.vertices_cam - np.array([0.0, 0.0, FAR_M]), np.float32)
        yield (
            f"{path}/mesh",
            rr.Mesh3D(
                vertex_positions=vertices,
                triangle_indices=mesh.faces.astype(np.uint32),
                vertex_normals=np.asarray(vertex_normals(vertices, mesh.faces), np.float32),
                albedo_factor=(*mesh.colour, 255),
            ),
        )


def _bones(joints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(joints[np.array(BONES)], np.float32)


def _bone_colours() -> list[tuple[int, int, int]]:
    colours = joint_colours()
    return [colours[child] for _, child in BONES]


def _colour(row: Mapping[str, Any]) -> tuple[int, int, int]:
    return GOOD if row["accepted"] else BAD


def _blueprint(tracks: Sequence[int], measured: Sequence[str]) -> "rr.blueprint.Blueprint":
    """Lay out: the frame, the hands of some tracks, verdicts; below them lines of measurements."""
    import rerun.blueprint as rrb

    hands = [
        rrb.Spatial3DView(
            origin="hands",
            name=f"hand {track}, about its wrist",
            contents=[f"/hands/{verdict}/track_{track}/**" for verdict in ("accepted", "refused")],
        )
        for track in tracks
    ]
    lines = [rrb.TimeSeriesView(origin=f"measurements/{name}", name=TITLES[name]) for name in measured]
    only_words = rrb.TextLogColumns(timeline_columns=[FRAME_LINE], text_log_columns=["Body"])
    words = rrb.Tabs(
        rrb.TextLogView(origin="verdicts", name="verdicts", columns=only_words),
        rrb.TextDocumentView(origin="about", name="about"),
    )
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                rrb.Spatial2DView(origin="image", name="frame"), rrb.Vertical(*hands), words, column_shares=[5, 3, 3]
            ),
            rrb.Horizontal(*lines),
            row_shares=[2, 1],
        ),
        collapse_panels=True,
    )
