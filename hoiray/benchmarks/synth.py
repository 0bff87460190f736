"""What a synthetic frame costs: drawn at 256 px on one core, against the bare rasteriser on the same views."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.benchmarks.timing import compare, refuse_loaded_machine, write_report
from hoiray.render.raster import concatenate_meshes, rasterise
from hoiray.synthetic.draw import Renderer, renderer_of
from hoiray.synthetic.generate import use_one_thread
from hoiray.synthetic.scene import Recording, View
from hoiray.synthetic.world import plan, simulate, view
from hoiray.synthetic.writers.shot import object_truths, pose_views, truth_model

SIDE_PX: Final = 256
NUM_FRAMES: Final = 12
SEED: Final = 0
DOMAINS: Final = ("lab", "wild")
"""`lab` holds almost still and knows no motion blur; `wild` has blur, clutter and second hands."""

MIN_LABEL_IOU: Final = 0.9
"""The two sides must draw the same thing, else their ratio means nothing."""

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Task:
    """Views of one recording with what each side needs to draw them, prepared outside the measurement."""

    views: tuple[View, ...]
    renderer: Renderer
    meshes: tuple[tuple[FloatArray, NDArray[np.integer]], ...]
    """Of each view, hands (778 vertices) and objects as one mesh, camera axes."""

    def draw(self) -> None:
        """Draw every view, all included."""
        for current, after in zip(self.views, (*self.views[1:], None), strict=True):
            self.renderer.render(current, after)

    def rasterise(self) -> None:
        """Find the nearest triangle at every pixel of every view: no colour, light, arm, table or motion."""
        for current, (vertices, faces) in zip(self.views, self.meshes, strict=True):
            rasterise(vertices, faces, current.K, current.image_size)


def run(out: Path, *, pairs: int, force: bool) -> str:
    """Measure on one thread and write `synth.json` and `synth.md` into `out`; return the Markdown.

    Raises:
        ConfigError: the machine is loaded, or too few pairs were asked for.
        RuntimeError: the two sides do not show the same.
    """
    refuse_loaded_machine(force=force)
    use_one_thread()
    comparisons, notes = [], {"frame": f"{SIDE_PX} x {SIDE_PX} px, {NUM_FRAMES} frames of one recording, one thread"}
    for domain in DOMAINS:
        task = make_task(domain)
        refuse_disagreement(task)
        comparison = compare((f"draw, {domain}", task.draw), ("bare rasteriser", task.rasterise), pairs=pairs)
        comparisons.append(comparison)
        drawn, bare = (NUM_FRAMES / side.median for side in (comparison.subject_s, comparison.baseline_s))
        share = 1.0 / comparison.ratio.median
        notes[f"{domain}, frames/s a core"] = f"{drawn:.1f} drawn, {bare:.0f} rasterised: {share:.1%} of its speed"
    return write_report(out, "synth", comparisons, notes)


def make_task(domain: str, num_frames: int = NUM_FRAMES) -> Task:
    """Simulate a recording and turn its first camera into one of 256 x 256 px with the same angle of view."""
    recording = simulate(replace(plan(domain, "tiny", SEED)[0], num_frames=num_frames))
    small = _square(recording)
    views = tuple(view(small, 0, frame) for frame in range(num_frames))
    meshes = []
    for current, hands in zip(views, pose_views(views), strict=True):
        parts = [(hand.vertices, truth_model().faces(is_right=hand.view.is_right).numpy()) for hand in hands]
        for target in object_truths(current):
            pose = target.view.T_cam_obj
            parts.append((target.mesh.vertices @ pose[:3, :3].T + pose[:3, 3], target.mesh.faces))
        vertices, faces, _ = concatenate_meshes(parts)
        meshes.append((vertices, faces))
    return Task(views, renderer_of(small), tuple(meshes))


def refuse_disagreement(task: Task) -> None:
    """Refuse to compare sides that show different things.

    Raises:
        RuntimeError: labels of the first view and the rasterised meshes overlap too little.
    """
    current = task.views[0]
    drawn = task.renderer.render(current).labels > 0
    bare = rasterise(*task.meshes[0], current.K, current.image_size).covered
    shared, either = int(np.sum(drawn & bare)), int(np.sum(drawn | bare))
    overlap = shared / max(either, 1)
    if overlap < MIN_LABEL_IOU:
        raise RuntimeError(f"the two sides overlap by {overlap:.2f} only: the ratio would mean nothing")


def _square(recording: Recording) -> Recording:
    """Scale the first camera so that the shorter side of its image is 256 px, and cut the longer one."""
    camera = recording.cameras[0]
    height, width = camera.image_size
    scale = SIDE_PX / min(height, width)
    offset = [(scale * side - SIDE_PX) / 2.0 for side in (width, height)]
    K = np.array([[scale, 0.0, -offset[0]], [0.0, scale, -offset[1]], [0.0, 0.0, 1.0]]) @ camera.K
    return replace(recording, cameras=(replace(camera, K=K, image_size=(SIDE_PX, SIDE_PX)),))
