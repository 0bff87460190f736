"""Draw what a camera of the synthetic world sees: pixels, labels and depth of one view.

What does not change in a recording (skin, sleeves, labels, the table, the room and its light) is made once by the
`Renderer`; a frame then takes: pose, rasterise at the pixel centres and at twice the resolution, look from the lamp,
look from all around for soft shadows, and one pass over the pixels. Colour is smoothed at edges or, where something
moves, averaged over the exposure.

Labels and depth belong to the pixel centres and the middle of the exposure. Labels are those of the annotated surfaces,
as HO-3D's masks are: the 778-vertex meshes of the hands, and the objects, hidden by each other (and by the table from
3 cm below its top), but not by a forearm or a sleeve. Where one of these is in front, the depth, which is that of
everything that is drawn, is less than the hand's.

Seen behind the meshes is the table, the plane y = 0 of the world, where the domain has one, and the room.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.render.light import (
    SH_BAND_0,
    SH_BAND_1,
    SH_BAND_2,
    SH_BAND_2_XXYY,
    SH_BAND_2_ZZ,
    rotate_sh,
    sphere_directions,
)
from hoiray.render.occlusion import parallel_frame
from hoiray.render.raster import Fragments, rasterise
from hoiray.render.shade import supersampled_intrinsics, vertex_normals
from hoiray.synthetic.arm import ShapedArm, SleeveCut, faces_of_side, load_arm, pose_arm, shape_arm, sleeve_uv, turns_of
from hoiray.synthetic.degrade import CameraFlaws, develop, draw_flaws, expose, frame_generator
from hoiray.synthetic.domains import Knobs, domain_of
from hoiray.synthetic.environments import load_environment, octahedral_map
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.scene import Appearance, HandView, Recording, RenderedFrame, Subject, View
from hoiray.synthetic.shading import (
    LEVELS,
    MIRROR,
    RELIEF,
    SCATTER_B,
    SCATTER_R,
    SHININESS,
    SIZE,
    SPECULAR,
    START,
    SURFACE_COLUMNS,
    TEXEL_COLUMNS,
    TURN,
    Layers,
    Lighting,
    Motion,
    Scene,
    Seen,
    Table,
    block_minima,
    face_views,
    find_shown,
    longest_motion_px,
    measure_openness,
    paint_back,
    paint_meshes,
    splat_depth,
    write_labels,
)
from hoiray.synthetic.skin import SCATTER, atlas_uv, bake_skin
from hoiray.synthetic.skin import SHININESS as SKIN_SHININESS
from hoiray.synthetic.skin import SPECULAR as SKIN_SPECULAR
from hoiray.synthetic.textures import Finish, cloth, mip_chain, object_finishes, table_finish

FloatArray = NDArray[np.float64]
Float32 = NDArray[np.float32]

NEAR_M = 0.06
"""Nearer than this nothing is drawn: a sleeve that passes the camera would fill the picture."""

_WHITE = 0.92
"""Automatic exposure makes white paper that faces light and camera this bright."""

_BALANCE = 0.75
"""Automatic white balance takes this share of the light's colour away (in stops), as eyes and cameras do."""

_SHADOW_PX = 304
_MAX_SHADOW_M = 0.42
_OPENNESS_DIRECTIONS = 16
_OPENNESS_PX = 72
_OPENNESS_LIFT_TEXELS = 1.3
_MAX_OPENNESS_RADIUS_M = 0.3
_GRID = 36
_GRID_HALF_M = 0.34
_MAX_PAINTED_PX = 600_000
_LEAST_MOTION_PX = 0.7
"""If nothing moves more than this during the exposure the picture is sharp."""

_MAX_MOTION_SHARE = 0.15
"""Nothing moves by more than this share of the longer side: a sleeve that passes the camera would smear over it."""


class _Posed(NamedTuple):
    """Vertices of all meshes at one instant, and the camera there."""

    vertices: FloatArray
    T_cam_world: FloatArray


@dataclass(frozen=True, eq=False)
class _Surfaces:
    """A part of the scene before it is put together: faces with their looks; texels start at zero.

    Attributes:
        faces: (F, 3). corner_uv: (F, 3, 2). surface: (F,) row of `rows`. label: (F,).
        rows: (S, 19) as `shading.SURFACE_COLUMNS`. texels: (T, 8).
        coarse: (C, 3) faces enough for soft shadows.
        truth: (L, 3) faces of the annotated surface: the 778-vertex hand, the object. truth_label: of all of them.
        num_vertices: of the mesh.
        is_open: (F,) bool, faces whose inside can be seen.
    """

    faces: NDArray[np.int64]
    corner_uv: Float32
    surface: NDArray[np.int64]
    label: NDArray[np.uint8]
    rows: FloatArray
    texels: Float32
    coarse: NDArray[np.int64]
    truth: NDArray[np.int64]
    truth_label: int
    num_vertices: int
    is_open: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Cast:
    """All parts of a view, put together.

    Attributes:
        scene: its `vertices`, `facing` and `level` are those of no view yet.
        labelled_faces: (L, 3) and labels: (L,) of the annotated surfaces.
        coarse: (C, 3) faces for soft shadows. texture_px, num_levels: (F,) of each face's texture.
        hand_rows: row in `scene.surfaces` of each hand's skin.
        is_near: (V,) bool, vertices that belong to what matters: hands and objects, not the sleeves' far ends.
        is_open: (F,) bool, faces whose inside can be seen, as a sleeve's.
    """

    scene: Scene
    labelled_faces: NDArray[np.int64]
    labels: NDArray[np.uint8]
    coarse: NDArray[np.int64]
    texture_px: FloatArray
    num_levels: NDArray[np.int32]
    hand_rows: tuple[int, ...]
    is_near: NDArray[np.bool_]
    is_open: NDArray[np.bool_]


class Renderer:
    """Draws the views of one recording.

    Not safe to share between threads (it keeps what it has made); cheap to make: skins and textures are kept for the
    whole process.
    """

    def __init__(
        self,
        appearance: Appearance,
        subjects: Sequence[Subject],
        knobs: Knobs,
        *,
        has_table: bool = True,
        flaws: CameraFlaws | None = None,
    ) -> None:
        """Prepare a recording.

        Args:
            appearance: how it looks.
            subjects: everybody whose hand appears.
            knobs: of its domain.
            has_table: whether the plane y = 0 is the top of a table.
            flaws: of the camera; None: drawn from the knobs.

        Raises:
            ConfigError: the environment is unknown.
        """
        self.appearance = appearance
        self.flaws = draw_flaws(knobs, appearance) if flaws is None else flaws
        self._knobs = knobs
        self._subjects: Mapping[str, Subject] = {subject.subject_id: subject for subject in subjects}
        self._environment = load_environment(appearance.environment)
        self._octahedron = octahedral_map(appearance.environment)
        rng = np.random.default_rng((appearance.seed, zlib.crc32(b"room")))
        yaw = rng.uniform(0.0, 2 * np.pi)
        self._R_world_room = np.asarray(axis_angle_to_matrix(np.array([0.0, yaw, 0.0])), np.float64)
        self._table_yaw_rad = float(rng.uniform(-0.4, 0.4))
        self._table_half_m = rng.uniform((0.45, 0.35), (0.9, 0.6))
        self._table_shift_m = rng.uniform(-0.12, 0.12, 2)
        self._has_table = has_table
        self._table_seed = int(rng.integers(2**31))
        self._casts: dict[tuple[object, ...], _Cast] = {}
        self._arms: dict[str, ShapedArm] = {}
        self._last: tuple[View, FloatArray] | None = None
        self._still: tuple[FloatArray, FloatArray, tuple[int, int]] | None = None
        self._bare: Float32 | None = None

    def render(self, view: View, after: View | None = None) -> RenderedFrame:
        """Draw a view.

        Args:
            view: what is to be seen.
            after: the same camera one frame later, for motion blur; None: nothing moves during the exposure. It must
                show the same hands and objects.

        Raises:
            ContractError: a hand of somebody unknown, or an `after` that does not fit.
        """
        linear, labels, depth_m = self.render_linear(view, after)
        rng = frame_generator(self.appearance, view.camera_id, view.frame_index)
        return RenderedFrame(develop(linear, self.flaws, rng), labels, depth_m)

    def render_linear(self, view: View, after: View | None = None) -> tuple[Float32, NDArray[np.uint8], Float32]:
        """Return the linear light (H, W, 3) before the camera's flaws, the labels and the depth in metres."""
        cast = self._cast(view)
        posed = _Posed(self._pose(view), np.asarray(view.T_cam_world, np.float64))
        vertices = np.empty((len(posed.vertices), 4), np.float32)
        normals = vertex_normals(posed.vertices, cast.scene.faces)
        openness, grid = self._openness(cast, posed, normals)
        vertices[:, :3], vertices[:, 3] = normals, openness
        motion = self._motion(view, after, posed)
        K = np.asarray(view.K, np.float64)
        scene = self._scene(posed, cast, view, vertices, K)
        seen = _seen(rasterise(posed.vertices, scene.faces, K, view.image_size, near_m=NEAR_M))
        labels, depth_m = np.empty(view.image_size, np.uint8), np.empty(view.image_size, np.float32)
        table = self._table(posed.T_cam_world, grid)
        labelled = rasterise(posed.vertices, cast.labelled_faces, K, view.image_size, near_m=NEAR_M)
        write_labels(labels, depth_m, seen, _seen(labelled), cast.labels, table, _inverse(K))
        height, width = view.image_size
        light = self._light(posed, cast)
        if height * width <= _MAX_PAINTED_PX:
            known = self._known_back(posed.T_cam_world, light, table, K, view.image_size)
            linear = _paint(posed, scene, light, table, known, motion=motion, sensor=(K, view.image_size), seen=seen)
            return linear, labels, depth_m
        # a lens is not sharp to the pixel of a large image: half as many lines, painted in a quarter of the time
        half, K_half = ((height + 1) // 2, (width + 1) // 2), _halved(K)
        scene = self._scene(posed, cast, view, vertices, K_half)
        motion = _halved_motion(motion)
        known = self._known_back(posed.T_cam_world, light, table, K_half, half)
        linear = _paint(posed, scene, light, table, known, motion=motion, sensor=(K_half, half), seen=None)
        large = cv2.resize(linear, (2 * half[1], 2 * half[0]), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(large[:height, :width]), labels, depth_m

    def _known_back(
        self, T_cam_world: FloatArray, light: Lighting, table: Table, K: FloatArray, size: tuple[int, int]
    ) -> Float32:
        """Return table and room (H, W, 3) as they are when nothing is near, if the camera stands where it stood.

        Without pixels for a camera that has moved: it is worth while only for more than one frame.
        """
        place = (T_cam_world, K, size)
        stood = self._still
        if stood is None or not (
            np.array_equal(stood[0], T_cam_world) and np.array_equal(stood[1], K) and stood[2] == size
        ):
            self._still, self._bare = place, None
            return _UNKNOWN
        if self._bare is None:
            self._bare = np.zeros((*size, 3), np.float32)
            open_table = table._replace(openness=np.ones((2, 2), np.float32))
            unshadowed = light._replace(shadow_m=np.zeros((0, 0), np.float32))
            paint_back(self._bare, np.ones(size, np.uint8), _UNKNOWN, unshadowed, open_table, _inverse(K))
        return self._bare

    # --- light -------------------------------------------------------------------------------------------------------

    def _scene(self, posed: _Posed, cast: _Cast, view: View, vertices: Float32, K: FloatArray) -> Scene:
        """Choose the faces that can be seen, and the mip levels of their textures."""
        still = cast.scene
        facing, level = face_views(posed.vertices, still.faces, still.corner_uv, cast.texture_px, cast.num_levels, K)
        shown = find_shown(posed.vertices, still.faces, cast.is_open)
        return Scene(
            faces=still.faces.take(shown, axis=0),
            corner_uv=still.corner_uv.take(shown, axis=0),
            level=level[shown],
            mesh=still.mesh[shown],
            surface=still.surface[shown],
            label=still.label[shown],
            facing=facing[shown],
            vertices=vertices,
            surfaces=self._turned(cast, view),
            texels=still.texels,
        )

    def _turned(self, cast: _Cast, view: View) -> FloatArray:
        """Let the relief of the skin turn with the hands."""
        surfaces = cast.scene.surfaces.copy()
        for row, hand in zip(cast.hand_rows, view.hands, strict=True):
            turn = turns_of(np.asarray(hand.mano.global_orient, np.float64)[None])[0]
            # a left hand is the mirror image of the right one that carries the texture
            mirror = np.diag([1.0 if hand.is_right else -1.0, 1.0, 1.0])
            surfaces[row, TURN:] = (turn @ mirror).ravel()
        return surfaces

    def _light(self, posed: _Posed, cast: _Cast) -> Lighting:
        place, R_cam_world = self._environment, posed.T_cam_world[:3, :3]
        R_cam_room = R_cam_world @ self._R_world_room
        lamp = R_cam_room @ place.lamp_direction
        sh = _polynomial(rotate_sh(place.ambient_sh, R_cam_room))
        gain = self._automatic_gain(lamp, sh, R_cam_world)
        shadow_px_cam, shadow_m = _shadow_map(posed.vertices, cast, lamp / np.linalg.norm(lamp))
        return Lighting(
            lamp / np.linalg.norm(lamp),
            place.lamp_colour * gain,
            sh * gain,
            shadow_px_cam,
            shadow_m,
            block_minima(shadow_m),
            place.lamp_spread,
            np.ascontiguousarray(R_cam_room.T),
            self._octahedron,
            gain,
        )

    def _automatic_gain(self, lamp: FloatArray, sh: FloatArray, R_cam_world: FloatArray) -> FloatArray:
        """Return the (3,) factor of automatic exposure and white balance: for what faces up and the camera."""
        normal = R_cam_world[:, 1] + np.array([0.0, 0.0, -1.0])
        normal /= max(float(np.linalg.norm(normal)), 1e-6)
        arriving = np.maximum(_basis(normal) @ sh, 0.02) + self._environment.lamp_colour * max(
            float(normal @ lamp), 0.45
        )
        level = float(arriving.mean())
        return np.asarray(_WHITE / level * (level / arriving) ** _BALANCE)

    def _table(self, T_cam_world: FloatArray, grid: Float32) -> Table:
        surface, texels = _table_surface(self._table_seed)
        if not self._has_table:
            return Table(np.zeros(4), np.zeros((2, 4)), np.zeros(2), surface, texels, np.zeros((2, 4)), grid)
        R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
        camera_world = -R.T @ t
        cosine, sine = np.cos(self._table_yaw_rad), np.sin(self._table_yaw_rad)
        along = np.array([[cosine, 0.0, sine], [-sine, 0.0, cosine]])
        axes = np.column_stack([along @ R.T, along @ camera_world - self._table_shift_m])
        flat = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        to_cells = (_GRID - 1) / (2 * _GRID_HALF_M)
        grid_axes = np.column_stack([flat @ R.T, flat @ camera_world + _GRID_HALF_M]) * to_cells
        return Table(self._plane(T_cam_world), axes, self._table_half_m, surface, texels, grid_axes, grid)

    def _plane(self, T_cam_world: FloatArray) -> FloatArray:
        """Return the (4,) plane of the table, see `shading.Table`."""
        if not self._has_table:
            return np.zeros(4)
        # points of the plane y = 0: up . p = up . t, and up . t < 0 where the camera is above it
        up = T_cam_world[:3, 1]
        return np.append(up, float(up @ T_cam_world[:3, 3]))

    # --- soft shadows ------------------------------------------------------------------------------------------------

    def _openness(self, cast: _Cast, posed: _Posed, normals: FloatArray) -> tuple[Float32, Float32]:
        """Measure which share of the light from all around reaches each vertex, and each cell of the table."""
        R_cam_world, t = posed.T_cam_world[:3, :3], posed.T_cam_world[:3, 3]
        near = np.ascontiguousarray(posed.vertices[cast.is_near].T)
        if not near.size:
            return np.ones(len(posed.vertices), np.float32), np.ones((_GRID, _GRID), np.float32)
        cells = _CELLS_WORLD @ R_cam_world.T + t
        points = np.concatenate([posed.vertices, cells])
        upwards = np.concatenate([normals, np.broadcast_to(R_cam_world[:, 1], cells.shape)])
        centre = (near.min(axis=1) + near.max(axis=1)) / 2
        radius_m = min(float(np.linalg.norm(near - centre[:, None], axis=0).max()), _MAX_OPENNESS_RADIUS_M)
        texels_per_m = (_OPENNESS_PX / 2 - 2) / radius_m
        share = measure_openness(
            points,
            upwards,
            len(posed.vertices),
            cast.coarse,
            np.ascontiguousarray(_FRAMES_WORLD @ R_cam_world.T),
            centre,
            texels_per_m,
            _OPENNESS_LIFT_TEXELS / texels_per_m,
            _OPENNESS_PX,
            True,
        )
        return share[: len(posed.vertices)], _smoothed(share[len(posed.vertices) :].reshape(_GRID, _GRID))

    # --- what is there -----------------------------------------------------------------------------------------------

    def _pose(self, view: View) -> FloatArray:
        """Return the vertices of everything; of the last view they are kept, for often it is the next one to draw."""
        if self._last is None or self._last[0] is not view:
            self._last = (view, self._pose_anew(view))
        return self._last[1]

    def _pose_anew(self, view: View) -> FloatArray:
        parts = [
            pose_arm(self._arm(hand), hand.mano, np.asarray(hand.forearm, np.float64), is_right=hand.is_right)
            for hand in view.hands
        ]
        for thing in view.objects:
            T = np.asarray(thing.T_cam_obj, np.float64)
            parts.append(build_object(thing.name).vertices @ T[:3, :3].T + T[:3, 3])
        return np.concatenate(parts) if parts else np.zeros((0, 3))

    def _motion(self, view: View, after: View | None, posed: _Posed) -> Motion | None:
        """Return by how much everything moves during the exposure; None where it cannot be noticed."""
        if after is None or self.flaws.shutter_share <= 0:
            return None
        if _key(view) != _key(after) or view.camera_id != after.camera_id:
            expected, found = "the hands and objects of the view", "others"
            raise ContractError(describe(what="later view", expected=expected, found=found, fix="Pass the next frame."))
        share = self.flaws.shutter_share
        T_after_now = np.asarray(after.T_cam_world, np.float64) @ np.linalg.inv(posed.T_cam_world)
        moved = (share * (self._pose(after) - posed.vertices)).astype(np.float32)
        still = share * _velocity(T_after_now)
        plane = self._plane(posed.T_cam_world)
        longest_px = _longest_motion_px(posed.vertices, moved, still, plane, view)
        if longest_px < _LEAST_MOTION_PX:
            return None
        focal_px = np.array([view.K[0, 0], view.K[1, 1]], np.float64)
        longest_px = min(longest_px, _MAX_MOTION_SHARE * max(view.image_size))
        return Motion(moved, still, focal_px, longest_px)

    def _subject(self, hand: HandView) -> Subject:
        if hand.subject_id not in self._subjects:
            expected = f"one of {', '.join(self._subjects)}"
            fix = "Give the renderer every subject of the recording."
            raise ContractError(describe(what="hand of", expected=expected, found=repr(hand.subject_id), fix=fix))
        return self._subjects[hand.subject_id]

    def _arm(self, hand: HandView) -> ShapedArm:
        if hand.subject_id not in self._arms:
            subject = self._subject(hand)
            rng = np.random.default_rng((self.appearance.seed, subject.appearance_seed, zlib.crc32(b"sleeve")))
            long = rng.random() < self._knobs.sleeve_share
            start_m = float(rng.uniform(0.012, 0.07) if long else rng.uniform(0.13, 0.16))
            cut = SleeveCut(
                start_m, float(rng.uniform(0.004, 0.010)), float(rng.uniform(0.0008, 0.0024)), int(rng.integers(2**31))
            )
            self._arms[hand.subject_id] = shape_arm(np.asarray(subject.betas, np.float64), cut)
        return self._arms[hand.subject_id]

    def _cast(self, view: View) -> _Cast:
        key = _key(view)
        if key not in self._casts:
            parts = [self._hand_surfaces(hand, 1 + i) for i, hand in enumerate(view.hands)]
            for j, thing in enumerate(view.objects):
                seed = self.appearance.textures.get(thing.name, zlib.crc32(thing.name.encode()))
                parts.append(_labelled(_object_surfaces(thing.name, seed), 1 + len(view.hands) + j))
            self._casts[key] = _assemble(parts, len(view.hands))
        return self._casts[key]

    def _hand_surfaces(self, hand: HandView, label: int) -> _Surfaces:
        subject, shaped = self._subject(hand), self._arm(hand)
        arm = load_arm()
        skin, skin_row = _skin_texels(subject.skin_tone_index, subject.appearance_seed)
        wear_seed = zlib.crc32(f"{self.appearance.seed}-{subject.subject_id}".encode())
        cloth_texels, cloth_row = _texels_of(cloth(np.random.default_rng(wear_seed)))
        cloth_row = cloth_row.copy()
        cloth_row[START] = len(skin)
        num_shown = len(shaped.arm_face_ids)
        uv = np.concatenate([atlas_uv()[shaped.arm_face_ids], sleeve_uv()])
        rest = shaped.faces[~shaped.face_is_hand]
        coarse = np.concatenate([arm.hand_ids[arm.hand.faces], rest])
        if not hand.is_right:
            uv, coarse = uv[:, [0, 2, 1]], coarse[:, [0, 2, 1]]
        return _Surfaces(
            faces=np.asarray(faces_of_side(shaped, is_right=hand.is_right), np.int64),
            corner_uv=np.ascontiguousarray(uv, np.float32),
            surface=(np.arange(len(shaped.faces)) >= num_shown).astype(np.int64),
            label=np.where(shaped.face_is_hand, label, 0).astype(np.uint8),
            rows=np.stack([skin_row, cloth_row]),
            texels=np.concatenate([skin, cloth_texels]),
            coarse=coarse,
            truth=arm.hand_ids[arm.hand.faces],
            truth_label=label,
            num_vertices=len(shaped.vertices),
            is_open=np.arange(len(shaped.faces)) >= num_shown,
        )


def renderer_of(recording: Recording) -> Renderer:
    """Make the renderer of a recording, with the knobs and the table of its domain."""
    domain = domain_of(recording.domain)
    # the studio's hands float in front of the camera, as FreiHAND's do before a replaced background
    return Renderer(recording.appearance, recording.subjects, domain.knobs, has_table=domain.name != "studio")


# rows right, down, forward of an eye in each direction; they stay with the world, so that soft shadows do not swim
_FRAMES_WORLD = np.stack([parallel_frame(direction) for direction in sphere_directions(_OPENNESS_DIRECTIONS)])

_SIDE_M = np.linspace(-_GRID_HALF_M, _GRID_HALF_M, _GRID)
_CELLS_WORLD = np.stack([np.tile(_SIDE_M, _GRID), np.zeros(_GRID * _GRID), np.repeat(_SIDE_M, _GRID)], axis=1)

_UNKNOWN = np.zeros((0, 0, 3), np.float32)
_NO_MOTION = Motion(np.zeros((0, 3), np.float32), np.zeros((3, 4)), np.zeros(2), 0.0)


def _seen(fragments: Fragments) -> Seen:
    return Seen(fragments.depth_m, fragments.triangle_id, fragments.barycentric)


def _inverse(K: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(K), np.float64)


def _halved(K: FloatArray) -> FloatArray:
    """Return the intrinsics of an image of half the size each of whose pixels covers four of K's."""
    coarse = K.copy()
    coarse[:2] /= 2.0
    coarse[:2, 2] -= 0.25
    return coarse


def _key(view: View) -> tuple[object, ...]:
    hands = tuple((hand.subject_id, hand.is_right) for hand in view.hands)
    return (*hands, *(thing.name for thing in view.objects))


def _longest_motion_px(vertices: FloatArray, moved: Float32, still: FloatArray, plane: FloatArray, view: View) -> float:
    """Measure how far visible things, or table and room behind them, move across the image."""
    K = np.asarray(view.K, np.float64)
    behind_px = _longest_motion_behind_px(still, plane, K, view.image_size)
    return max(longest_motion_px(vertices, moved, K, *view.image_size, NEAR_M), behind_px)


def _longest_motion_behind_px(still: FloatArray, plane: FloatArray, K: FloatArray, size: tuple[int, int]) -> float:
    """Return how far the plane of the table or the distant room moves at most, on a grid that reaches the corners.

    A camera that rolls moves only what is away from the middle, one that shifts only what is near: the table.
    """
    rows, columns = np.meshgrid(np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 5), indexing="ij")
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    rays = np.linalg.inv(K) @ pixels
    towards = plane[:3] @ rays
    sees_table = (plane[3] < 0.0) & (towards < -1e-6)
    nearness = np.where(sees_table, towards / min(plane[3], -NEAR_M), 0.0)
    turned, shifted = still[:, :3] @ rays, np.outer(still[:, 3], nearness)
    longest = 0.0
    for moved in (turned, turned + shifted):
        across = moved[:2] - rays[:2] * moved[2]
        longest = max(longest, float(np.linalg.norm(K[:2, :2] @ across, axis=0).max()))
    return longest


def _velocity(T: FloatArray) -> FloatArray:
    """Return the (3, 4) even motion per unit of time, at its start, that has become the rigid motion T after one.

    The exposure lies evenly about its start: going on along the chord, T - 1, would turn away to one side.
    """
    axis_angle = np.asarray(matrix_to_axis_angle(T[:3, :3]), np.float64)
    x, y, z = axis_angle
    turn = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle_rad = float(np.linalg.norm(axis_angle))
    # the inverse of the map from even shift to the shift that has come about (Murray, Li and Sastry, 1994, A.2)
    half = angle_rad / 2
    curve = 1.0 / 12.0 if angle_rad < 1e-3 else (1.0 - half / np.tan(half)) / (angle_rad * angle_rad)
    shift = (np.eye(3) - 0.5 * turn + curve * turn @ turn) @ T[:3, 3]
    return np.column_stack([turn, shift])


def _halved_motion(motion: Motion | None) -> Motion | None:
    """Return the motion in an image of half the size."""
    if motion is None:
        return None
    return motion._replace(focal_px=motion.focal_px / 2, longest_px=motion.longest_px / 2)


def _paint(
    posed: _Posed,
    scene: Scene,
    light: Lighting,
    table: Table,
    known: Float32,
    *,
    motion: Motion | None,
    sensor: tuple[FloatArray, tuple[int, int]],
    seen: Seen | None,
) -> Float32:
    """Return the linear light of an exposure.

    `known` is what is known of table and room, see `shading.paint_back`; the sensor has intrinsics and size; `seen` is
    what it sees, if known.
    """
    K, size = sensor
    K_inverse = _inverse(K)
    if seen is None:
        seen = _seen(rasterise(posed.vertices, scene.faces, K, size, near_m=NEAR_M))
    doubled = (2 * size[0], 2 * size[1])
    fine = _seen(rasterise(posed.vertices, scene.faces, supersampled_intrinsics(K, 2), doubled, near_m=NEAR_M))
    layers = _blank_layers(size, motion)
    wanted = np.empty(size, np.uint8)
    moved = _NO_MOTION if motion is None else motion
    paint_meshes(layers, wanted, seen, fine, scene, light, table, moved, K_inverse)
    if motion is not None:
        # half the motion of what is in front and half that of what is behind it
        side = 2 * (int(np.ceil(motion.longest_px)) + 2) + 1
        wanted = cv2.dilate(wanted, np.ones((side, side), np.uint8))
    paint_back(layers.back, wanted, known, light, table, K_inverse)
    return expose(layers)


def _blank_layers(size: tuple[int, int], motion: Motion | None) -> Layers:
    moving = size if motion is not None else (0, 0)
    panning = size if motion is not None and np.abs(motion.still).max() > 0 else (0, 0)
    return Layers(
        np.zeros((*size, 4), np.float32),
        np.zeros((*size, 3), np.float32),
        np.zeros((*moving, 3), np.float32),
        np.zeros((*panning, 2), np.float32),
    )


def _assemble(parts: Sequence[_Surfaces], num_hands: int) -> _Cast:
    """Put parts side by side, in the order of their vertices."""
    if not parts:
        parts = [_EMPTY]
    vertex_start = np.cumsum([0] + [part.num_vertices for part in parts])
    row_start = np.cumsum([0] + [len(part.rows) for part in parts])
    texel_start = np.cumsum([0] + [len(part.texels) for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    rows[:, START] += np.repeat(texel_start[:-1], [len(part.rows) for part in parts])
    surface = np.concatenate([part.surface + start for part, start in zip(parts, row_start[:-1], strict=True)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, vertex_start[:-1], strict=True)])
    label = np.concatenate([part.label for part in parts])
    is_near = np.zeros(int(vertex_start[-1]), np.bool_)
    is_near[faces[label > 0]] = True
    scene = Scene(
        faces=faces,
        corner_uv=np.concatenate([part.corner_uv for part in parts]),
        level=np.zeros(len(faces), np.int32),
        mesh=surface.astype(np.int32),
        surface=surface.astype(np.int32),
        label=label,
        facing=np.ones(len(faces), np.float32),
        vertices=np.zeros((len(is_near), 4), np.float32),
        surfaces=rows,
        texels=np.concatenate([part.texels for part in parts]),
    )
    coarse = np.concatenate([part.coarse + start for part, start in zip(parts, vertex_start[:-1], strict=True)])
    truth = np.concatenate([part.truth + start for part, start in zip(parts, vertex_start[:-1], strict=True)])
    truth_label = np.repeat([part.truth_label for part in parts], [len(part.truth) for part in parts])
    levels = rows[surface, LEVELS].astype(np.int32)
    hand_rows = tuple(int(start) for start in row_start[:num_hands])
    is_open = np.concatenate([part.is_open for part in parts])
    return _Cast(
        scene, truth, truth_label.astype(np.uint8), coarse, rows[surface, SIZE], levels, hand_rows, is_near, is_open
    )


def _labelled(part: _Surfaces, label: int) -> _Surfaces:
    return replace(part, label=np.full(len(part.faces), label, np.uint8), truth_label=label)


@lru_cache(maxsize=64)
def _object_surfaces(name: str, seed: int) -> _Surfaces:
    mesh = build_object(name)
    texels, rows, start = [], [], 0
    for finish in object_finishes(name, mesh.part_names, seed):
        part, row = _texels_of(finish)
        row = row.copy()
        row[START] = start
        start += len(part)
        texels.append(part)
        rows.append(row)
    return _Surfaces(
        faces=mesh.faces,
        corner_uv=np.ascontiguousarray(mesh.corner_uv, np.float32),
        surface=np.asarray(mesh.face_part, np.int64),
        label=np.zeros(len(mesh.faces), np.uint8),
        rows=np.stack(rows),
        texels=np.concatenate(texels),
        coarse=mesh.faces,
        truth=mesh.faces,
        truth_label=0,
        num_vertices=len(mesh.vertices),
        is_open=np.zeros(len(mesh.faces), np.bool_),
    )


def _texels_of(finish: Finish) -> tuple[Float32, FloatArray]:
    """Return the mip chain of a finish as rows of texels, and its row of the surface table."""
    full = np.zeros((*finish.texture.shape[:2], TEXEL_COLUMNS), np.float32)
    full[..., :3] = finish.texture
    full[..., 3] = 1.0
    chain = mip_chain(full)
    row = np.zeros(SURFACE_COLUMNS)
    row[SIZE], row[LEVELS] = len(full), len(chain)
    row[SPECULAR], row[SHININESS], row[MIRROR] = finish.specular, finish.shininess, finish.mirror
    row[SCATTER_R : SCATTER_B + 1] = finish.scatter
    return np.concatenate([level.reshape(-1, TEXEL_COLUMNS) for level in chain]), row


@lru_cache(maxsize=24)
def _skin_texels(tone_index: int, seed: int) -> tuple[Float32, FloatArray]:
    chain = mip_chain(bake_skin(tone_index, seed).texels)
    row = np.zeros(SURFACE_COLUMNS)
    row[SIZE], row[LEVELS], row[RELIEF] = len(chain[0]), min(len(chain), 4), 1.0
    row[SPECULAR], row[SHININESS] = SKIN_SPECULAR, SKIN_SHININESS
    row[SCATTER_R : SCATTER_B + 1] = SCATTER
    return np.concatenate([level.reshape(-1, TEXEL_COLUMNS) for level in chain]), row


@lru_cache(maxsize=16)
def _table_surface(seed: int) -> tuple[FloatArray, Float32]:
    texels, row = _texels_of(table_finish(seed))
    # without the columns that a table has no use for, twice as much of it is near at hand
    return row[None], np.ascontiguousarray(texels[:, :4])


_EMPTY = _Surfaces(
    np.zeros((0, 3), np.int64),
    np.zeros((0, 3, 2), np.float32),
    np.zeros(0, np.int64),
    np.zeros(0, np.uint8),
    np.zeros((1, SURFACE_COLUMNS)),
    np.zeros((1, TEXEL_COLUMNS), np.float32),
    np.zeros((0, 3), np.int64),
    np.zeros((0, 3), np.int64),
    0,
    0,
    np.zeros(0, np.bool_),
)


def _polynomial(coefficients: FloatArray) -> FloatArray:
    """Fold the constants of the basis into (9, 3) factors of 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""
    bands = [SH_BAND_0, *[SH_BAND_1] * 3, SH_BAND_2, SH_BAND_2, SH_BAND_2_ZZ, SH_BAND_2, SH_BAND_2_XXYY]
    return np.asarray(coefficients * np.array(bands)[:, None])


def _basis(normal: FloatArray) -> FloatArray:
    """Return the nine factors that `_polynomial`'s coefficients are for."""
    x, y, z = normal
    return np.array([1.0, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])


def _shadow_map(vertices: FloatArray, cast: _Cast, lamp: FloatArray) -> tuple[FloatArray, Float32]:
    """Look at everything from the lamp; return the (3, 4) map from camera frame to (px, px, m), and the depths."""
    near = vertices[cast.is_near]
    if not len(near):
        return np.zeros((3, 4)), np.zeros((0, 0), np.float32)
    frame = parallel_frame(lamp)
    around = frame @ near.T
    low, high = around.min(axis=1), around.max(axis=1)
    middle = (low + high) / 2
    # room for the part of the sleeve that throws its shadow beside the hand
    half_m = min(float((high - low)[:2].max()) / 2 + 0.16, _MAX_SHADOW_M)
    scale = np.array([_SHADOW_PX / 2 / half_m, _SHADOW_PX / 2 / half_m, 1.0])
    offset = np.array([_SHADOW_PX / 2, _SHADOW_PX / 2, 0.0]) - scale * np.array([middle[0], middle[1], 0.0])
    matrix = np.column_stack([frame * scale[:, None], offset])
    depth_m = np.full((_SHADOW_PX, _SHADOW_PX), np.inf, np.float32)
    splat_depth(vertices @ matrix[:, :3].T + offset, cast.coarse, depth_m, True)
    return matrix, depth_m


def _smoothed(grid: Float32) -> Float32:
    """Blur the few directions of light into one soft shadow."""
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    padded = np.pad(grid, 2, mode="edge")
    rows = sum(weight * padded[i : i + _GRID] for i, weight in enumerate(kernel))
    both = sum(weight * np.asarray(rows)[:, i : i + _GRID] for i, weight in enumerate(kernel))
    return np.asarray(both, np.float32)
