"""Make a synthetic data set: plan it, make each recording once, put the lists together, describe the result.

A recording is the unit of work, of commit and of continuing. Its files are written first, then a marker that names
them all with their digests and holds what the lists need of it (`hoiray_truth/recordings/<id>.json`). A run that was
killed is continued by making the recordings without a marker; since every byte follows from the request, the result is
the same. Who executes the jobs, and on how many workers, is the caller's business.
"""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, cast

from hoiray import __version__
from hoiray.datasets.formats.truth import DATASET_KEY, TRUTH_FOLDER
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.io.encode import encode_json
from hoiray.io.store import Store
from hoiray.synthetic.card import CARD_KEY, RecordingFacts, write_card
from hoiray.synthetic.domains import DOMAIN_NAMES, SIZE_NAMES, SizeName, domain_of
from hoiray.synthetic.scene import Recording, View
from hoiray.synthetic.world import RecordingPlan, plan, simulate, view
from hoiray.synthetic.writers.dexycb import DEXYCB
from hoiray.synthetic.writers.fpha import FPHA
from hoiray.synthetic.writers.freihand import FREIHAND
from hoiray.synthetic.writers.ho3d import HO3D_PROCESSED, HO3D_V2, HO3D_V3
from hoiray.synthetic.writers.shot import Format, Part, RecordingWriter, Slot, film
from hoiray.synthetic.writers.something import SOMETHING
from hoiray.synthetic.writers.truth import TruthRecorder, measure_truth
from hoiray.synthetic.writers.videos import VIDEOS

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {item.name: item for item in (HO3D_V2, HO3D_V3, HO3D_PROCESSED, FREIHAND, FPHA, DEXYCB, SOMETHING, VIDEOS)}
)
DOMAIN_FORMATS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "lab": ("ho3d_v2", "ho3d_v3", "ho3d_processed", "dexycb", "videos"),
        "studio": ("freihand",),
        "ego": ("fpha", "videos"),
        "wild": ("something", "videos"),
    }
)
"""Formats a domain can be written in; the first is the one written when none is named."""

REQUEST_KEY: Final = f"{TRUTH_FOLDER}/request.json"


@dataclass(frozen=True)
class Request:
    """What is asked for; every byte of the result follows from it.

    Attributes:
        domain, size, seed: of the world.
        formats: names of :data:`FORMATS`.
        uri: where to; with several formats each gets a folder of its name below it.
    """

    domain: str
    size: str
    seed: int
    formats: tuple[str, ...]
    uri: str

    def root(self, format_name: str) -> str:
        """Where a format lies."""
        return self.uri if len(self.formats) == 1 else f"{self.uri.rstrip('/')}/{format_name}"

    def identity(self, format_name: str) -> dict[str, Any]:
        """What must be equal for two runs to write the same files; the place is not part of it."""
        return {
            "domain": self.domain,
            "size": self.size,
            "seed": self.seed,
            "format": format_name,
            "hoiray": __version__,
        }


@dataclass(frozen=True)
class Job:
    """One recording to make, in the formats that lack it. Small and pickleable: this is what travels to a worker."""

    plan: RecordingPlan
    slot: Slot
    roots: tuple[tuple[str, str], ...]
    """(format, root) pairs."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: how many frames were drawn."""

    recording_id: str
    num_frames: int


@dataclass(frozen=True)
class Result:
    """What a run has made.

    Attributes:
        roots: of each format.
        num_recordings, num_frames: of the set.
        num_made: recordings made by this run; the others were there.
    """

    roots: Mapping[str, str]
    num_recordings: int
    num_frames: int
    num_made: int


@dataclass(frozen=True)
class Ledger(Store):
    """A store that notes what is written to it: key to size and SHA-256."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Write a whole file and note it."""
        super().write(key, data, durable=durable)
        self.files[key] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


# --- the request ------------------------------------------------------------------------------------------------------


def make_request(domain: str, uri: str, *, size: str, seed: int, formats: Sequence[str] = ()) -> Request:
    """Check what is asked for.

    Args:
        domain: lab, wild, ego or studio.
        uri: a local path, `file://` or `s3://`.
        size: tiny, demo, small or medium.
        seed: not negative.
        formats: none for the domain's default.

    Raises:
        ConfigError: no such domain, size or format, or a format the domain is not filmed for.
    """
    _one_of("domain", domain, DOMAIN_NAMES)
    _one_of("size", size, SIZE_NAMES)
    possible = DOMAIN_FORMATS[domain]
    for name in formats:
        _one_of(f"format of domain {domain}", name, possible)
    if seed < 0:
        raise ConfigError(describe(what="seed", expected="0 or more", found=str(seed), fix="Choose another."))
    chosen = tuple(dict.fromkeys(formats)) or possible[:1]
    return Request(domain=domain, size=size, seed=seed, formats=chosen, uri=Store.open(uri).uri)


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        nearest = difflib.get_close_matches(value, allowed, n=1)
        fix = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of these."
        raise ConfigError(describe(what=what, expected=f"one of {', '.join(allowed)}", found=repr(value), fix=fix))


def plan_jobs(request: Request) -> tuple[Job, ...]:
    """Plan every recording of a set, in order, whatever is there already."""
    plans = plan(request.domain, cast("SizeName", request.size), request.seed)
    domain = domain_of(request.domain)
    num_views = [item.num_frames * domain.num_cameras for item in plans]
    roots = tuple((name, request.root(name)) for name in request.formats)
    totals = dict.fromkeys((True, False), 0)
    firsts = []
    for item, count in zip(plans, num_views, strict=True):
        firsts.append(totals[item.split == "train"])
        totals[item.split == "train"] += count
    jobs = []
    for item, first in zip(plans, firsts, strict=True):
        total = totals[item.split == "train"]
        slot = Slot(item.recording_index, item.split, first, total, item.subject_index, item.entropy)
        job_ids = tuple(_job_id(request, name, item) for name, _ in roots)
        jobs.append(Job(item, slot, roots, job_ids))
    return tuple(jobs)


def _job_id(request: Request, format_name: str, item: RecordingPlan) -> str:
    content = {"request": request.identity(format_name), "plan": asdict(item)}
    return hashlib.sha256(encode_json(content)).hexdigest()


# --- one recording ----------------------------------------------------------------------------------------------------


def run_job(job: Job) -> Outcome:
    """Make a recording and write it in all formats that lack it.

    Raises:
        ContractError: the recording cannot be told in a format.
        InputError: the place cannot be written.
    """
    from hoiray.synthetic.draw import renderer_of  # compiled kernels, which planning does not need

    use_one_thread()
    recording = simulate(job.plan)
    renderer = renderer_of(recording)
    slot = replace(job.slot, compression_quality=renderer.flaws.compression_quality)
    ledgers = [Ledger(Store.open(root).uri) for _, root in job.roots]
    writers: list[RecordingWriter] = []
    for ledger, (name, _) in zip(ledgers, job.roots, strict=True):
        writers.append(FORMATS[name].begin(ledger, recording, slot))
    recorders = [TruthRecorder(slot.split) for _ in writers]
    facts = RecordingFacts.begin(recording, slot)
    views = {c.camera_id: _views(recording, i) for i, c in enumerate(recording.cameras)}
    for shot in film(views, renderer.render):
        truth = measure_truth(shot)
        facts.add(truth)
        for recorder, writer in zip(recorders, writers, strict=True):
            recorder.add(truth, writer.add(shot))
    for index, (ledger, writer, recorder) in enumerate(zip(ledgers, writers, recorders, strict=True)):
        part = writer.close()
        recorder.close(ledger, recording.recording_id)
        _commit(ledger, recording.recording_id, job.job_ids[index], part, facts)
    return Outcome(recording.recording_id, facts.num_frames)


def use_one_thread() -> None:
    """Make this process compute on one thread: sums over several are not the same on every machine or every run."""
    import cv2
    import torch

    cv2.setNumThreads(0)
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _views(recording: Recording, camera_index: int) -> list[View]:
    return [view(recording, camera_index, frame) for frame in range(recording.num_frames)]


def marker_key(recording_id: str) -> str:
    """Where a recording's marker lies."""
    return f"{TRUTH_FOLDER}/recordings/{recording_id}.json"


def _commit(ledger: Ledger, recording_id: str, job_id: str, part: Part, facts: RecordingFacts) -> None:
    content = {"job_id": job_id, "facts": facts.to_json(), "part": part, "files": dict(ledger.files)}
    ledger.write(marker_key(recording_id), encode_json(content))


# --- the whole set ----------------------------------------------------------------------------------------------------


def generate(
    request: Request,
    execute: Callable[[Sequence[Job]], Iterator[Outcome]],
    *,
    resume: bool = False,
    on_outcome: Callable[[Outcome, int, int], None] = lambda *_: None,
) -> Result:
    """Make a data set.

    Args:
        request: what.
        execute: runs jobs in any order and yields as they end.
        resume: continue what an earlier run of the same request has begun.
        on_outcome: told of every recording made: outcome, recordings done so far, recordings of the set.

    Raises:
        ConfigError: the place is not empty (and `resume` is not asked for), or holds the beginning of another set.
        ContractError: a recording cannot be told in a format, or its marker is damaged.
        InputError: the place cannot be written.
    """
    jobs = plan_jobs(request)
    stores = {name: Store.open(request.root(name)) for name in request.formats}
    for name, store in stores.items():
        _claim(store, request.identity(name), resume=resume)
    pending = tuple(_pending(jobs, stores)) if resume else jobs
    num_done = len(jobs) - len(pending)
    for outcome in execute(pending):
        num_done += 1
        on_outcome(outcome, num_done, len(jobs))
    num_frames = 0
    for name, store in stores.items():
        markers = [_read_marker(store, job.plan.recording_id) for job in jobs]
        FORMATS[name].finish(store, [marker["part"] for marker in markers])
        facts = [RecordingFacts.from_json(marker["facts"]) for marker in markers]
        num_frames = sum(item.num_frames for item in facts)
        write_card(store, request.identity(name), FORMATS[name].layout, facts)
        summary = {**request.identity(name), "num_recordings": len(jobs), "num_frames": num_frames}
        store.write(DATASET_KEY, encode_json(summary, indent=1))
    roots = {name: request.root(name) for name in request.formats}
    return Result(roots, len(jobs), num_frames, len(pending))


def _claim(store: Store, identity: Mapping[str, Any], *, resume: bool) -> None:
    """Take an empty place, or the one of the same request."""
    if store.exists(REQUEST_KEY):
        found = _read_request(store)
        different = [f"{key} {found.get(key)}" for key in identity if found.get(key) != identity[key]]
        if not resume or different:
            fix = "Choose another place." if different else "Pass --resume to continue it, or choose another place."
            expected = "an empty place" if not resume else f"the beginning of {dict(identity)}"
            told = f"a set of {', '.join(different)}" if different else "the beginning of this very set"
            raise ConfigError(describe(what=f"--out {store.uri}", expected=expected, found=told, fix=fix))
        return
    if any(True for _ in store.list(recursive=False)) or any(True for _ in store.list_folders()):
        fix = "Nothing is deleted or mixed with other files: choose another place."
        raise ConfigError(describe(what=f"--out {store.uri}", expected="an empty place", found="other files", fix=fix))
    store.write(REQUEST_KEY, encode_json(identity, indent=1))


def _read_request(store: Store) -> dict[str, Any]:
    try:
        found = json.loads(store.read(REQUEST_KEY))
    except ValueError as error:
        found = str(error)
    if not isinstance(found, dict):
        fix = "Choose another place: what was asked for here cannot be told any more."
        what = store.url(REQUEST_KEY)
        raise ContractError(describe(what=what, expected="the request of a data set", found=str(found), fix=fix))
    return found


def _pending(jobs: Sequence[Job], stores: Mapping[str, Store]) -> Iterator[Job]:
    """Yield the jobs that are not done, each with the formats that lack it."""
    present = {name: store.sizes() for name, store in stores.items()}
    for job in jobs:
        lacking = [
            index
            for index, (name, _) in enumerate(job.roots)
            if not _is_done(stores[name], present[name], job.plan.recording_id, job.job_ids[index])
        ]
        if lacking:
            roots = tuple(job.roots[index] for index in lacking)
            yield Job(job.plan, job.slot, roots, tuple(job.job_ids[index] for index in lacking))


def _is_done(store: Store, present: Mapping[str, int], recording_id: str, job_id: str) -> bool:
    """Tell whether a recording is there whole: its marker, and every file the marker names at its full size."""
    if marker_key(recording_id) not in present:
        return False
    marker = _read_marker(store, recording_id)
    whole = all(present.get(key) == facts["bytes"] for key, facts in marker["files"].items())
    return bool(marker["job_id"] == job_id and whole)


def _read_marker(store: Store, recording_id: str) -> dict[str, Any]:
    key = marker_key(recording_id)
    try:
        marker: dict[str, Any] = json.loads(store.read(key))
        missing = [entry for entry in ("job_id", "facts", "part", "files") if entry not in marker]
    except ValueError as error:
        missing = [str(error)]
    if missing:
        fix = "Delete it and pass --resume: the recording is made again."
        found = f"a damaged one ({', '.join(missing)})"
        raise ContractError(describe(what=store.url(key), expected="a marker", found=found, fix=fix))
    return marker


__all__ = ["CARD_KEY", "DOMAIN_FORMATS", "FORMATS", "Job", "Outcome", "Request", "Result", "generate", "make_request"]
