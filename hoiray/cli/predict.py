"""`hoiray predict`: a model's hands and objects over pictures and videos, and the numbers behind them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import typer

from hoiray.cli.boxes_file import GivenBox, parse_box, read_boxes
from hoiray.cli.progress import hands_progress
from hoiray.datasets.image_files import read_rgb
from hoiray.datasets.images import is_image
from hoiray.datasets.meshes import Mesh, read_mesh
from hoiray.datasets.videos import is_video
from hoiray.errors import ConfigError, describe
from hoiray.evaluation.placement import guessed_intrinsics, wrist_from_image
from hoiray.geometry.control_points import control_points
from hoiray.geometry.transforms import transform_points
from hoiray.io.encode import VIDEO_CODECS, VideoEncoder
from hoiray.io.store import Store
from hoiray.predictors.load import load_network
from hoiray.predictors.network import Attention, NetworkPredictor
from hoiray.predictors.protocol import HandPredictions, HandRequest
from hoiray.render.overlay import Image
from hoiray.report.contact_sheet import OBJECT_COLOUR, Drawable
from hoiray.report.prediction_picture import (
    DEFAULT_QUERIES,
    PictureHand,
    PictureObject,
    draw_attention,
    draw_prediction,
    hand_colour,
)

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

FRAMES_PER_BATCH: Final = 16
UNKNOWN_RATE_HZ: Final = 25.0
"""Of the drawn video where the file does not tell its own."""

NO_BOX: Final = "give --box x0,y0,x1,y1 (one hand, in every frame), or --boxes FILE (a JSON list; see the manual)"


@dataclass(frozen=True)
class PredictionRequest:
    """What is asked for.

    Attributes:
        inputs: pictures and videos.
        model: checkpoint.
        out: folder.
        boxes: file of boxes.
        box: `x0,y0,x1,y1` of one hand, in every picture and frame.
        object_box: of its object.
        is_left: the hand of `box` is a left one.
        attention: also draw where the queries look.
        attention_at: places `x,y` of the query's box, in its unit square; none for the middle and four around it.
        object_mesh: OBJ or PLY, metres: its pose is solved where a camera is given.
        camera: `fx,fy,cx,cy` in px of the pictures; None: unknown, meshes are drawn with a guessed one.
        device: where to compute.
        hand_model: the network's.
    """

    inputs: tuple[Path, ...]
    model: str
    out: Path
    boxes: Path | None = None
    box: str | None = None
    object_box: str | None = None
    is_left: bool = False
    attention: bool = False
    attention_at: tuple[str, ...] = ()
    object_mesh: Path | None = None
    camera: str | None = None
    device: str = "auto"
    hand_model: Path | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """What is the same for all frames of a request."""

    predictor: NetworkPredictor
    boxes: "Boxes"
    mesh: Mesh | None
    K: npt.NDArray[np.float64] | None
    queries: tuple[tuple[float, float], ...]
    wants_attention: bool

    @property
    def hand(self) -> "HandModel":
        """The hand model of the drawn meshes."""
        return self.predictor.hand


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes by key, or one for all."""

    by_key: Mapping[str, tuple[GivenBox, ...]]
    always: tuple[GivenBox, ...]

    def of(self, *keys: str) -> tuple[GivenBox, ...]:
        """Return the boxes of the first key that has any."""
        return self.always or next((self.by_key[key] for key in keys if key in self.by_key), ())


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of one file: (F, H, W, 3), their numbers in the file, and the boxes of each."""

    path: Path
    images: npt.NDArray[np.uint8]
    numbers: Sequence[int]
    boxes: Sequence[tuple[GivenBox, ...]]


@dataclass(eq=False)
class Rows:
    """The numbers of all hands so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)


def predict(request: PredictionRequest) -> None:
    """Draw predictions over every input and write their numbers.

    A picture `x.png` becomes `x_predicted.png` (and `x_attention_0.png`), a video `x.webm` becomes `x_predicted.mp4`.
    Numbers go to `predictions.json`; those of videos to `predictions.parquet`.

    Raises:
        ConfigError: no box is given, or an input is neither picture nor video.
        InputError: an input or a boxes file cannot be read.
    """
    _require_inputs(request)
    scene = _scene(request)
    request.out.mkdir(parents=True, exist_ok=True)
    pictures, videos = Rows(), Rows()
    for path in request.inputs:
        if is_video(path.name):
            _predict_video(path, scene, request.out, videos)
        else:
            _predict_picture(path, scene, request.out, pictures)
    if pictures.rows:
        text = json.dumps([_jsonable(row) for row in pictures.rows], indent=1, allow_nan=False)
        (request.out / "predictions.json").write_text(text + "\n", encoding="utf-8")
    if videos.rows:
        _write_parquet(request.out / "predictions.parquet", videos.rows)
    rows = pictures.rows + videos.rows
    failed = sum(row["failure"] is not None for row in rows)
    typer.echo(f"{len(rows)} hands ({failed} failed) in {request.out}")
    if not rows:
        typer.echo("no box fitted any input: keys are file names, or frame numbers of videos counted from 0")


def _require_inputs(request: PredictionRequest) -> None:
    if request.boxes is None and request.box is None:
        found = "none, and hoiray has no hand detector yet"
        raise ConfigError(describe(what="boxes", expected="a box around every hand", found=found, fix=NO_BOX))
    if request.boxes is not None and request.box is not None:
        fix = "Give one of the two."
        raise ConfigError(describe(what="boxes", expected="--box or --boxes", found="both", fix=fix))
    wrong = [path for path in request.inputs if not (is_image(path.name) or is_video(path.name))]
    if wrong:
        expected = "a picture (.png, .jpg) or a video (.mp4, .webm, .mkv, .avi, .mov)"
        found, fix = f"a name ending in {wrong[0].suffix!r}", "Name the files themselves."
        raise ConfigError(describe(what=str(wrong[0]), expected=expected, found=found, fix=fix))


def _scene(request: PredictionRequest) -> Scene:
    always: tuple[GivenBox, ...] = ()
    if request.box is not None:
        thing = np.full(4, np.nan) if request.object_box is None else parse_box(request.object_box, "--object-box")
        always = (GivenBox(parse_box(request.box, "--box"), not request.is_left, thing),)
    boxes = Boxes({} if request.boxes is None else read_boxes(request.boxes), always)
    mesh = None
    if request.object_mesh is not None:
        mesh = read_mesh(Store.open(request.object_mesh.parent), request.object_mesh.name)
        if request.camera is None:
            typer.echo("note: without --camera fx,fy,cx,cy the object's pose cannot be solved; its points are drawn")
    queries = tuple(_numbers(text, 2, "--attention-at") for text in request.attention_at)
    loaded = load_network(request.model, hand_path=request.hand_model, device=request.device)
    return Scene(
        loaded.predictor,
        boxes,
        mesh,
        None if request.camera is None else _camera(request.camera),
        tuple((x, y) for x, y in queries) or DEFAULT_QUERIES,
        request.attention,
    )


def _camera(text: str) -> npt.NDArray[np.float64]:
    fx, fy, cx, cy = _numbers(text, 4, "--camera")
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        fix = "Write them as 0.5,0.5 without spaces."
        raise ConfigError(describe(what=option, expected=f"{count} numbers", found=repr(text), fix=fix))
    return numbers


def _predict_picture(path: Path, scene: Scene, out: Path, rows: Rows) -> None:
    image = read_rgb(Store.open(path.parent), path.name)
    boxes = scene.boxes.of(path.name, path.stem, "0")
    if not boxes:
        typer.echo(f"{path}: no box under {path.name!r}", err=True)
        return
    frames = Frames(path, image[None], [0], [boxes])
    request = _request(frames, scene)
    answer, attention = _answer(scene, request)
    _append(rows, frames, request, answer, scene)
    _write_png(out / f"{path.stem}_predicted.png", _drawn(image, 0, request, answer, scene))
    for row in range(len(request) if attention is not None else 0):
        assert attention is not None
        _write_png(out / f"{path.stem}_attention_{row}.png", _attention_picture(attention, row, scene))


def _predict_video(path: Path, scene: Scene, out: Path, rows: Rows) -> None:
    from hoiray.io.decoding.choose import open_reader

    reader = open_reader(path, str(path))
    facts = reader.facts
    rate_hz = float(facts.frame_rate) if facts.frame_rate is not None else UNKNOWN_RATE_HZ
    encoder: VideoEncoder | None = None
    num_frames = facts.timeline.num_frames
    with hands_progress(path.name, "frames") as on_progress:
        done = 0
        for images, numbers in _frame_batches(reader.frames(range(num_frames))):
            if encoder is None:
                size_wh = (images.shape[2], images.shape[1])
                encoder = VideoEncoder(VIDEO_CODECS["mp4"], fps=rate_hz, size_wh=size_wh)
            boxes = [scene.boxes.of(f"{path.name}/{number}", str(number)) for number in numbers]
            for picture in _predict_frames(Frames(path, images, numbers, boxes), scene, rows):
                encoder.add(picture)
            done += len(numbers)
            on_progress(done, num_frames)
    if encoder is not None:
        (out / f"{path.stem}_predicted.mp4").write_bytes(encoder.finish())


def _frame_batches(frames: Iterator[Any]) -> Iterator[tuple[npt.NDArray[np.uint8], list[int]]]:
    images: list[npt.NDArray[np.uint8]] = []
    numbers: list[int] = []
    for frame in frames:
        images.append(np.ascontiguousarray(frame.image))
        numbers.append(frame.source_index)
        if len(images) == FRAMES_PER_BATCH:
            yield np.stack(images), numbers
            images, numbers = [], []
    if images:
        yield np.stack(images), numbers


def _predict_frames(frames: Frames, scene: Scene, rows: Rows) -> Iterator[Image]:
    """Yield every frame, drawn over where it has a box."""
    if not any(frames.boxes):
        yield from frames.images
        return
    request = _request(frames, scene)
    answer, _ = _answer(scene, request)
    _append(rows, frames, request, answer, scene)
    for position, image in enumerate(frames.images):
        yield _drawn(image, position, request, answer, scene) if frames.boxes[position] else image


def _request(frames: Frames, scene: Scene) -> HandRequest:
    hands = [(position, box) for position, found in enumerate(frames.boxes) for box in found]
    return HandRequest.make(
        frames.images,
        [position for position, _ in hands],
        np.stack([box.hand_box_xyxy for _, box in hands]),
        [box.is_right for _, box in hands],
        object_boxes_xyxy=np.stack([box.object_box_xyxy for _, box in hands]),
        K=scene.K,
        control_points_m=None if scene.mesh is None else control_points(scene.mesh.vertices),
    )


def _answer(scene: Scene, request: HandRequest) -> tuple[HandPredictions, Attention | None]:
    if scene.wants_attention:
        return scene.predictor.predict_with_attention(request)
    return scene.predictor.predict(request), None


def _seen_with(scene: Scene, size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    return guessed_intrinsics(size_wh) if scene.K is None else scene.K


def _drawn(image: Image, position: int, request: HandRequest, answer: HandPredictions, scene: Scene) -> Image:
    K = _seen_with(scene, request.image_size_wh)
    rows = np.flatnonzero(request.frame_index == position)
    hands = [
        PictureHand(
            answer.joints_2d_px[row],
            request.hand_boxes_xyxy[row],
            bool(request.is_right[row]),
            _hand_mesh(answer, int(row), bool(request.is_right[row]), K, scene),
        )
        for row in rows
    ]
    objects = [
        PictureObject(
            request.object_boxes_xyxy[row],
            None if answer.control_points_2d_px is None else answer.control_points_2d_px[row],
            _object_mesh(answer, int(row), scene),
        )
        for row in rows
        if np.isfinite(request.object_boxes_xyxy[row]).all()
    ]
    return draw_prediction(image, hands, objects, K)


def _hand_mesh(
    answer: HandPredictions, row: int, is_right: bool, K: npt.NDArray[np.float64], scene: Scene
) -> Drawable | None:
    """Pose the mesh and put its wrist where the 2D joints are."""
    import torch

    wrist = wrist_from_image(answer.joints_3d_m[row], answer.joints_2d_px[row], K)
    if answer.failures[row] is not None or answer.rotations is None or answer.betas is None:
        return None
    if not np.isfinite(wrist).all():
        return None
    turns = torch.as_tensor(answer.rotations[row], dtype=scene.hand.dtype, device=scene.predictor.device)
    betas = torch.as_tensor(answer.betas[row], dtype=scene.hand.dtype, device=scene.predictor.device)
    with torch.no_grad():
        posed = scene.hand.from_matrices(turns[0], turns[1:], betas, is_right=is_right)
    vertices = (posed.vertices - posed.joints[:1]).cpu().numpy().astype(np.float64) + wrist
    return Drawable(vertices, scene.hand.faces(is_right=is_right).cpu().numpy(), hand_colour(is_right=is_right))


def _object_mesh(answer: HandPredictions, row: int, scene: Scene) -> Drawable | None:
    if scene.mesh is None or answer.T_cam_obj is None or not np.isfinite(answer.T_cam_obj[row]).all():
        return None
    return Drawable(transform_points(answer.T_cam_obj[row], scene.mesh.vertices), scene.mesh.faces, OBJECT_COLOUR)


def _attention_picture(attention: Attention, row: int, scene: Scene) -> Image:
    return draw_attention(
        attention.images[row],
        attention.crops.hand_boxes_xyxy[row],
        attention.crops.object_boxes_xyxy[row],
        attention.maps[row].mean(axis=0),
        queries=scene.queries,
        query_is_object=attention.query == "object",
    )


def _append(rows: Rows, frames: Frames, request: HandRequest, answer: HandPredictions, scene: Scene) -> None:
    """Add one row a hand; 3D is relative to the wrist, which is placed only where the camera is known."""
    known_K = np.full((3, 3), np.nan) if scene.K is None else scene.K
    hand_index = [index for found in frames.boxes for index in range(len(found))]
    for row in range(len(request)):
        wrist = wrist_from_image(answer.joints_3d_m[row], answer.joints_2d_px[row], known_K)
        values: dict[str, Any] = {
            "file": frames.path.name,
            "frame_index": frames.numbers[int(request.frame_index[row])],
            "hand_index": hand_index[row],
            "is_right": bool(request.is_right[row]),
            "failure": answer.failures[row],
            "object_failure": answer.object_failures[row] if answer.object_failures else None,
            "hand_box_xyxy": request.hand_boxes_xyxy[row],
            "object_box_xyxy": request.object_boxes_xyxy[row],
            "joints_2d_px": answer.joints_2d_px[row],
            "joints_3d_m": answer.joints_3d_m[row],
            "wrist_m": wrist,
            "rotations": None if answer.rotations is None else answer.rotations[row],
            "betas": None if answer.betas is None else answer.betas[row],
            "T_cam_obj": None if answer.T_cam_obj is None else answer.T_cam_obj[row],
            "control_points_2d_px": None if answer.control_points_2d_px is None else answer.control_points_2d_px[row],
        }
        rows.rows.append({name: _none_if_absent(value) for name, value in values.items()})


def _none_if_absent(value: Any) -> Any:  # noqa: ANN401 - one of several kinds of cell
    if isinstance(value, np.ndarray):
        return value if np.isfinite(value).all() else None
    return value


def _jsonable(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: np.round(value, 7).tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()
    }


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row a hand; arrays are flattened row by row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        name: [np.ravel(row[name]).tolist() if isinstance(row[name], np.ndarray) else row[name] for row in rows]
        for name in rows[0]
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def _write_png(path: Path, image: Image) -> None:
    import cv2

    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        fix = "Name another place."
        raise ConfigError(describe(what=str(path), expected="a place to write", found="a refusal", fix=fix))
