"""Whole data sets of the real world and renderer, cut short; the layouts themselves are tested beside each writer."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from s3_server import S3Server

from hoiray.datasets.dexycb import DexYcbDataset
from hoiray.datasets.formats.truth import DATASET_KEY, read_truth
from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.sample import AnnotatedDataset, Sample
from hoiray.datasets.video_frames import read_frames
from hoiray.errors import ConfigError, ContractError
from hoiray.hand.load import load_hand_arrays
from hoiray.io.encode import decode_rle
from hoiray.io.store import Store
from hoiray.render.raster import concatenate_meshes, rasterise
from hoiray.schema.tables import TRUTH_HANDS, TRUTH_OBJECTS
from hoiray.synthetic import generate as generating
from hoiray.synthetic.card import CARD_KEY
from hoiray.synthetic.generate import Job, Outcome, Request, generate, make_request, run_job
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.world import plan
from hoiray.synthetic.writers.shot import truth_model

MIN_IOU = 0.97


def one_after_the_other(jobs: Sequence[Job]) -> Iterator[Outcome]:
    yield from map(run_job, jobs)


def short_plan(num_recordings: int, num_frames: int):  # noqa: ANN201
    def shortened(domain: str, size, seed: int):  # noqa: ANN001, ANN202
        return tuple(replace(item, num_frames=num_frames) for item in plan(domain, size, seed)[:num_recordings])

    return shortened


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make(  # noqa: ANN201
    monkeypatch: pytest.MonkeyPatch,
    uri: object,
    domain: str,
    *formats: str,
    num: tuple[int, int],
    seed: int = 3,
    on_outcome: Callable[[Outcome, int, int], None] = lambda *_: None,
):
    monkeypatch.setattr(generating, "plan", short_plan(*num))
    request = make_request(domain, str(uri), size="tiny", seed=seed, formats=formats)
    return generate(request, one_after_the_other, on_outcome=on_outcome)


def killed_after_two(_outcome: Outcome, num_done: int, _num_all: int) -> None:
    if num_done == 2:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        result = make(patch, folder, "lab", "ho3d_v2", "dexycb", num=(3, 1))
    assert result.num_frames == 15
    assert result.roots == {"ho3d_v2": f"{folder}/ho3d_v2", "dexycb": f"{folder}/dexycb"}
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        make(patch, folder, "studio", num=(4, 1))
    return folder


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.count_nonzero(first & second) / max(np.count_nonzero(first | second), 1))


def visible_labels(meshes: list, K: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W): 0 background, 1 and on the meshes, which hide each other; nothing else hides them."""
    joined, faces, mesh_id = concatenate_meshes(meshes)
    fragments = rasterise(joined, faces, K, size)
    return np.where(fragments.covered, 1 + mesh_id[fragments.triangle_id], 0)


def rendered_again(dataset: AnnotatedDataset, sample: Sample, size: tuple[int, int]) -> np.ndarray:
    """(H, W): 0 background, 1 hand, 2 and on the objects, from what the reader returned alone."""
    import torch

    (hand,) = sample.hands
    vertices = hand.vertices
    if vertices is None:
        assert hand.mano is not None
        names = ("global_orient", "hand_pose", "betas", "transl")
        parts = [torch.tensor(getattr(hand.mano, name)) for name in names]
        vertices = truth_model()(*parts).vertices.numpy()
    meshes = [(vertices, truth_model().faces(is_right=True).numpy())]
    for target in sample.objects:
        model = dataset.object_model(target.name)
        assert model is not None
        assert target.T_cam_obj is not None
        meshes.append((model.vertices @ target.T_cam_obj[:3, :3].T + target.T_cam_obj[:3, 3], model.faces))
    assert sample.K is not None
    return visible_labels(meshes, sample.K, size)


def test_meshes_read_back_lie_on_the_masks_in_ho3d(lab: Path) -> None:
    for split in ("train", "evaluation"):
        dataset = Ho3dDataset.open(str(lab / "ho3d_v2"), split, hand=load_hand_arrays())  # type: ignore[arg-type]  # texts of the loop
        for index in range(len(dataset)):
            sample = dataset.sample(index)
            labels = rendered_again(dataset, sample, (480, 640))
            masks = dataset.masks(sample)
            assert masks is not None
            assert iou(labels == 1, masks.hand) > MIN_IOU
            assert iou(labels == 2, masks.objects[sample.objects[0].name]) > MIN_IOU


def test_meshes_read_back_lie_on_the_masks_in_dexycb(lab: Path) -> None:
    dataset = DexYcbDataset.open(str(lab / "dexycb"), "train", hand=load_hand_arrays())
    assert len(dataset) == 15
    for index in range(0, len(dataset), 2):
        sample = dataset.sample(index)
        labels = rendered_again(dataset, sample, (480, 640))
        masks = dataset.masks(sample)
        assert masks is not None
        assert iou(labels == 1, masks.hand) > MIN_IOU
        for number, target in enumerate(sample.objects):
            assert iou(labels == 2 + number, masks.objects[target.name]) > MIN_IOU


def test_meshes_read_back_lie_on_the_masks_in_freihand(studio: Path) -> None:
    dataset = FreiHandDataset.open(str(studio), "training", hand=load_hand_arrays())
    truths = {row["sample_id"]: row for row in truth_rows(studio, TRUTH_HANDS, "hands") if row["split"] == "train"}
    holding = {row["sample_id"] for row in truth_rows(studio, TRUTH_OBJECTS, "objects") if row["split"] == "train"}
    checked = 0
    for index in range(dataset.num_photos):
        sample = dataset.sample(index)
        masks = dataset.masks(sample)
        assert masks is not None
        np.testing.assert_array_equal(masks.hand, decode_rle(truths[sample.sample_id]["mask_rle"], (224, 224)))
        if sample.sample_id not in holding:  # the format hides the object's pose
            labels = rendered_again(dataset, sample, (224, 224))
            assert iou(labels == 1, masks.hand) > MIN_IOU
            checked += 1
    assert checked


def truth_rows(folder: Path, schema, kind: str) -> list[dict]:  # noqa: ANN001
    store = Store.open(folder)
    return [row for key in store.list(f"hoiray_truth/{kind}") for row in read_truth(store, key, schema).to_pylist()]


def test_the_truth_of_wild_videos_lies_on_the_decoded_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(monkeypatch, tmp_path, "wild", "something", num=(3, 2))
    hands, objects = (truth_rows(tmp_path, s, k) for s, k in ((TRUTH_HANDS, "hands"), (TRUTH_OBJECTS, "objects")))
    store = Store.open(tmp_path)
    seen = 0
    for video_id in sorted({row["video_id"] for row in hands}):
        frames = read_frames(store, f"20bn-something-something-v2/{video_id}.webm")
        assert len(frames) == 2
        for frame_index, image in enumerate(frames):
            rows = [r for r in hands if (r["video_id"], r["frame_index"]) == (video_id, frame_index)]
            things = [r for r in objects if (r["video_id"], r["frame_index"]) == (video_id, frame_index)]
            labels = truth_labels(rows, things)
            assert image.shape[:2] == labels.shape
            for index, row in enumerate([*rows, *things]):
                mask = decode_rle(row["mask_rle"], labels.shape)
                if mask.sum() > 600:  # at the outline of a tiny thing one pixel in thirty is chance
                    assert iou(labels == 1 + index, mask) > MIN_IOU
                    seen += 1
    assert seen >= 6


def truth_labels(hands: list[dict], objects: list[dict]) -> np.ndarray:
    import torch

    meshes = []
    for row in hands:
        parts = [torch.tensor(row[name]).double() for name in ("global_orient", "hand_pose", "betas", "transl")]
        side = torch.tensor(row["is_right"])
        faces = truth_model().faces(is_right=row["is_right"]).numpy()
        meshes.append((truth_model()(*parts, is_right=side).vertices.numpy(), faces))
    for row in objects:
        pose, mesh = np.reshape(row["T_cam_obj"], (4, 4)), build_object(row["name"])
        meshes.append((mesh.vertices @ pose[:3, :3].T + pose[:3, 3], mesh.faces))
    size = (hands[0]["image_height_px"], hands[0]["image_width_px"])
    return visible_labels(meshes, np.reshape(hands[0]["K"], (3, 3)), size)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_people(
    studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(monkeypatch, tmp_path / "again", "studio", num=(4, 1))
    assert digests(tmp_path / "again") == digests(studio)
    make(monkeypatch, tmp_path / "other", "studio", num=(4, 1), seed=4)
    people = [
        {row["subject_id"] for row in truth_rows(folder, TRUTH_HANDS, "hands")}
        for folder in (studio, tmp_path / "other")
    ]
    assert not people[0] & people[1]
    betas = [truth_rows(folder, TRUTH_HANDS, "hands")[0]["betas"] for folder in (studio, tmp_path / "other")]
    assert not np.allclose(*betas)


@pytest.mark.s3
def test_the_same_bytes_are_written_to_s3(
    studio: Path, s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{s3_environment.uri}/synth-test"
    make(monkeypatch, uri, "studio", num=(4, 1))
    store, expected = Store.open(uri), digests(studio)
    assert {key: hashlib.sha256(store.read(key)).hexdigest() for key in store.list()} == expected
    assert len(FreiHandDataset.open(uri, "training")) > 0
    with pytest.raises(ConfigError, match="--resume"):
        make(monkeypatch, uri, "studio", num=(4, 1))


def test_a_killed_run_is_continued_to_the_same_bytes(
    studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "killed"
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/synthetic']; import pytest, test_generate as t;"
        f"t.make(pytest.MonkeyPatch(), {str(target)!r}, 'studio', num=(4, 1), on_outcome=t.killed_after_two)"
    )
    child = subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert child.returncode == -signal.SIGKILL
    done = len(list((target / "hoiray_truth" / "recordings").glob("*.json")))
    assert done == 2
    assert not (target / DATASET_KEY).exists()
    monkeypatch.setattr(generating, "plan", short_plan(4, 1))
    request = make_request("studio", str(target), size="tiny", seed=3)
    with pytest.raises(ConfigError, match="Pass --resume"):
        generate(request, one_after_the_other)
    told: list[tuple[str, int, int]] = []
    result = generate(
        request, one_after_the_other, resume=True, on_outcome=lambda o, n, a: told.append((o.recording_id, n, a))
    )
    assert result.num_made == 4 - done
    assert [entry[1:] for entry in told] == [(number, 4) for number in range(done + 1, 5)]
    assert digests(target) == digests(studio)


def test_a_recording_that_lost_a_file_is_made_again(
    studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(monkeypatch, tmp_path / "set", "studio", num=(2, 1))
    before = digests(tmp_path / "set")
    lost = next(path for path in (tmp_path / "set").rglob("*.jpg"))
    lost.unlink()
    request = make_request("studio", str(tmp_path / "set"), size="tiny", seed=3)
    assert generate(request, one_after_the_other, resume=True).num_made == 1
    assert digests(tmp_path / "set") == before
    assert generate(request, one_after_the_other, resume=True).num_made == 0
    assert digests(tmp_path / "set") == before


def test_a_recording_of_another_plan_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(monkeypatch, tmp_path, "studio", num=(1, 1))
    before = digests(tmp_path)
    marker = next((tmp_path / "hoiray_truth" / "recordings").glob("*.json"))
    marker.write_text(json.dumps(json.loads(marker.read_bytes()) | {"job_id": "of another plan"}))
    request = make_request("studio", str(tmp_path), size="tiny", seed=3)
    assert generate(request, one_after_the_other, resume=True).num_made == 1
    assert digests(tmp_path) == before


def test_a_damaged_marker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(monkeypatch, tmp_path, "studio", num=(1, 1))
    marker = next((tmp_path / "hoiray_truth" / "recordings").glob("*.json"))
    marker.write_bytes(marker.read_bytes()[:-9])
    with pytest.raises(ContractError, match=marker.name):
        generate(make_request("studio", str(tmp_path), size="tiny", seed=3), one_after_the_other, resume=True)


def test_a_place_with_other_files_is_refused_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ConfigError, match="other files"):
            generate(make_request("studio", str(tmp_path), size="tiny", seed=3), one_after_the_other, resume=resume)
    assert digests(tmp_path).keys() == {"notes.txt"}


def test_another_set_is_not_continued(tmp_path: Path) -> None:
    request = make_request("studio", str(tmp_path), size="tiny", seed=3)
    generating._claim(Store.open(tmp_path), request.identity("freihand"), resume=False)
    other = make_request("studio", str(tmp_path), size="tiny", seed=4)
    with pytest.raises(ConfigError, match="seed 3"):
        generate(other, one_after_the_other, resume=True)


def test_a_marker_names_every_file_with_its_digest(studio: Path) -> None:
    found = digests(studio)
    named = {}
    for path in (studio / "hoiray_truth" / "recordings").glob("*.json"):
        named |= {key: entry["sha256"] for key, entry in json.loads(path.read_bytes())["files"].items()}
    assert named == {key: found[key] for key in named}
    rest = set(found) - set(named)
    assert not any(key.endswith((".jpg", ".parquet")) for key in rest)


def test_slots_number_training_photographs_and_the_others_apart() -> None:
    jobs = generating.plan_jobs(make_request("studio", "/nowhere", size="tiny", seed=5))
    for side in (True, False):
        slots = [job.slot for job in jobs if (job.slot.split == "train") is side]
        assert [slot.first_view_index for slot in slots] == list(range(len(slots)))
        assert {slot.num_side_views for slot in slots} == {len(slots)}


@pytest.mark.parametrize(
    ("domain", "size", "seed", "formats", "words"),
    [
        ("lap", "tiny", 0, (), "'lab'"),
        ("lab", "tinny", 0, (), "'tiny'"),
        ("lab", "tiny", -1, (), "0 or more"),
        ("lab", "tiny", 0, ("ho3d_v4",), "'ho3d_v3'"),
        ("wild", "tiny", 0, ("freihand",), "something, videos"),
    ],
)
def test_a_wrong_request_is_answered_with_what_was_meant(
    domain: str, size: str, seed: int, formats: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_request(domain, "/nowhere", size=size, seed=seed, formats=formats)


def test_every_domain_has_a_default_format() -> None:
    defaults = {d: make_request(d, "/nowhere", size="tiny", seed=0).formats for d in ("lab", "studio", "ego", "wild")}
    assert defaults == {"lab": ("ho3d_v2",), "studio": ("freihand",), "ego": ("fpha",), "wild": ("something",)}
    assert Request("lab", "tiny", 0, ("ho3d_v2",), "/a").root("ho3d_v2") == "/a"


def test_a_card_stands_beside_the_files(studio: Path) -> None:
    card = (studio / CARD_KEY).read_text()
    assert "hoiray synth studio --out URI --size tiny --seed 3 --format freihand" in card
    assert "| all | 4 | 4 |" in card
    assert str(studio) not in card


def test_a_recording_with_a_file_cut_short_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(monkeypatch, tmp_path, "studio", num=(2, 1))
    before = digests(tmp_path)
    cut = next(path for path in tmp_path.rglob("*.jpg"))
    cut.write_bytes(cut.read_bytes()[:100])
    request = make_request("studio", str(tmp_path), size="tiny", seed=3)
    assert generate(request, one_after_the_other, resume=True).num_made == 1
    assert digests(tmp_path) == before


@pytest.mark.parametrize("content", ['{"domain": "stu', "[]", ""])
def test_a_damaged_request_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hoiray_truth" / "request.json"
    path.parent.mkdir()
    path.write_text(content)
    request = make_request("studio", str(tmp_path), size="tiny", seed=3)
    with pytest.raises(ContractError, match=r"request\.json: expected the request of a data set"):
        generate(request, one_after_the_other, resume=True)
