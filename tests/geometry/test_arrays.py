import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.errors import ContractError
from hoiray.geometry import alignment, boxes, cameras, crops, rotations, transforms
from hoiray.geometry.arrays import all_finite, as_floats, broadcast_onto, require_broadcast, require_image_size

Array = NDArray[np.floating]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_and_double_precision_are_kept_without_a_copy(dtype: type) -> None:
    values = np.zeros((2, 3), dtype=dtype)
    assert as_floats(values, (3,), "x") is values


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.float16])
def test_other_numbers_become_double_precision(dtype: type) -> None:
    assert as_floats(np.ones(3, dtype=dtype), (3,), "x").dtype == np.float64


@pytest.mark.parametrize("bad", [np.zeros(3, dtype=complex), np.array(["1", "2", "3"]), np.array([None, 1, 2])])
def test_what_is_not_a_real_number_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="joints: expected real numbers"):
        as_floats(bad, (3,), "joints")


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (3, 4)])
def test_the_message_names_thing_expected_and_found_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match=r"joints: expected shape \(\.\.\., any, 3\), found shape"):
        as_floats(np.zeros(shape), (None, 3), "joints")


@pytest.mark.parametrize("shape", [(0, 3), (5, 3), (2, 0, 3)])
def test_any_length_includes_none(shape: tuple[int, ...]) -> None:
    assert as_floats(np.zeros(shape), (None, 3), "joints").shape == shape


def test_finite_is_asked_per_batch_entry() -> None:
    values = np.zeros((3, 2, 2))
    values[1, 0, 1] = np.nan
    values[2, 1, 1] = np.inf
    assert all_finite(values, 2).tolist() == [True, False, False]
    assert all_finite(np.zeros((0, 2, 2)), 2).shape == (0,)


def test_shapes_that_do_not_fit_are_both_named() -> None:
    assert require_broadcast("a and b", (2, 1), (3,)) == (2, 3)
    with pytest.raises(ContractError, match=r"a and b: .* found \(2,\) and \(3,\)"):
        require_broadcast("a and b", (2,), (3,))


def test_a_ragged_sequence_is_refused() -> None:
    with pytest.raises(ContractError, match="joints: expected rows of one length"):
        as_floats([[1.0, 2.0, 3.0], [1.0, 2.0]], (3,), "joints")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_infinity_is_taken_as_nan_and_left_where_it_was(dtype: type) -> None:
    values = np.array([1.0, np.inf, -np.inf], dtype=dtype)
    taken = as_floats(values, (3,), "x")
    assert np.isnan(taken).tolist() == [False, True, True]
    assert taken.dtype == dtype
    assert np.isinf(values).sum() == 2


def test_what_is_repeated_onto_a_shape_never_enlarges_it() -> None:
    assert broadcast_onto(np.ones(3), (2, 3), "weights").shape == (2, 3)
    for shape in [(2,), (5, 3), (3,)]:
        with pytest.raises(ContractError, match=r"weights: .*broadcasts to \(1, 4\), found shape"):
            broadcast_onto(np.ones(shape), (1, 4), "weights")


@pytest.mark.parametrize("size_wh", [(0, 480), (640, 0), (-1, -1)])
def test_an_image_without_pixels_has_no_size(size_wh: tuple[int, int]) -> None:
    assert require_image_size((1, 2)) == (1, 2)
    with pytest.raises(ContractError, match="image size"):
        require_image_size(size_wh)


class Call(NamedTuple):
    """A public function of the package with one good value, without batch axes, for each array it takes."""

    function: Callable[..., object]
    arrays: dict[str, Array]
    options: Mapping[str, object] = MappingProxyType({})


RNG = np.random.default_rng(0)
ROTATION = rotations.random_rotations(RNG)
VECTOR = RNG.standard_normal(3)
SIXD, QUATERNION = RNG.standard_normal(6), RNG.standard_normal(4)
RIGID = transforms.make_transform(ROTATION, VECTOR)
POINTS = RNG.standard_normal((21, 3)) * 0.04 + [0.0, 0.0, 0.6]
PIXELS = RNG.uniform(100.0, 300.0, (21, 2))
BOX = np.array([10.0, 20.0, 110.0, 80.0])
SIDE, ANGLE = np.array(90.0), np.array(0.3)
K = np.array([[600.0, 0.0, 320.0], [0.0, 610.0, 240.0], [0.0, 0.0, 1.0]])
AFFINE = crops.crop_affine(BOX[:2], SIDE, ANGLE, out_size_px=64)
LEVEL = np.ones(21)


def fitted_camera(camera_points: Array) -> cameras.WeakPerspective:
    return cameras.solve_weak_perspective(camera_points, 900.0 * camera_points[..., :2])


def fitted_similarity(similarity_points: Array) -> alignment.Similarity:
    return alignment.align_similarity(similarity_points, similarity_points, allow_reflection=False)


def compose_two(first: Array, second: Array) -> Array:
    return transforms.compose_transforms(first, second)


CALLS = {
    "alignment.Similarity.apply": Call(
        lambda similarity_points, points: fitted_similarity(similarity_points).apply(points),
        {"similarity_points": POINTS, "points": POINTS},
    ),
    "alignment.align_similarity": Call(
        alignment.align_similarity, {"source": POINTS, "target": POINTS[::-1]}, {"allow_reflection": True}
    ),
    "alignment.align_root": Call(alignment.align_root, {"source": POINTS, "target": POINTS}, {"root_index": 0}),
    "alignment.align_scale_translation": Call(
        alignment.align_scale_translation,
        {"source": POINTS, "target": POINTS},
        {"root_index": 0, "length_index": 9},
    ),
    "boxes.is_valid": Call(boxes.is_valid, {"boxes_xyxy": BOX}),
    "boxes.area": Call(boxes.area, {"boxes_xyxy": BOX}),
    "boxes.intersection": Call(boxes.intersection, {"first_xyxy": BOX, "second_xyxy": BOX + 5.0}),
    "boxes.union": Call(boxes.union, {"first_xyxy": BOX, "second_xyxy": BOX + 5.0}),
    "boxes.iou": Call(boxes.iou, {"first_xyxy": BOX, "second_xyxy": BOX + 5.0}),
    "boxes.iou_matrix": Call(boxes.iou_matrix, {"first_xyxy": BOX[None], "second_xyxy": BOX[None]}),
    "boxes.clip_to_image": Call(boxes.clip_to_image, {"boxes_xyxy": BOX}, {"width": 64, "height": 48}),
    "boxes.expand": Call(boxes.expand, {"boxes_xyxy": BOX, "factor": np.array(1.1)}),
    "boxes.square": Call(boxes.square, {"boxes_xyxy": BOX}),
    "boxes.from_points": Call(boxes.from_points, {"points_px": PIXELS, "valid": LEVEL}),
    "boxes.to_center_size": Call(boxes.to_center_size, {"boxes_xyxy": BOX}),
    "boxes.from_center_size": Call(boxes.from_center_size, {"center_px": BOX[:2], "size_px": BOX[2:]}),
    "boxes.to_xywh": Call(boxes.to_xywh, {"boxes_xyxy": BOX}),
    "boxes.from_xywh": Call(boxes.from_xywh, {"boxes_xywh": BOX}),
    "cameras.WeakPerspective.project": Call(
        lambda camera_points, points_3d: fitted_camera(camera_points).project(points_3d),
        {"camera_points": POINTS, "points_3d": POINTS},
    ),
    "cameras.WeakPerspective.residual_px": Call(
        lambda camera_points, joints_3d, joints_2d_px: fitted_camera(camera_points).residual_px(
            joints_3d, joints_2d_px
        ),
        {"camera_points": POINTS, "joints_3d": POINTS, "joints_2d_px": PIXELS},
    ),
    "cameras.solve_weak_perspective": Call(
        lambda **arrays: vars(cameras.solve_weak_perspective(**arrays)),
        {"joints_3d": POINTS, "joints_2d_px": 900.0 * POINTS[:, :2], "weights": LEVEL},
    ),
    "cameras.project_points": Call(cameras.project_points, {"points_cam": POINTS, "K": K}),
    "cameras.unproject_points": Call(
        cameras.unproject_points, {"points_2d_px": PIXELS, "depth_m": POINTS[:, 2], "K": K}
    ),
    "cameras.transform_intrinsics": Call(cameras.transform_intrinsics, {"K": K, "A": AFFINE}),
    "cameras.check_intrinsics": Call(cameras.check_intrinsics, {"K": K}),
    "crops.crop_affine": Call(
        crops.crop_affine, {"center_px": BOX[:2], "side_px": SIDE, "rotation_rad": ANGLE}, {"out_size_px": 64}
    ),
    "crops.invert_affine": Call(crops.invert_affine, {"A": AFFINE}),
    "crops.apply_affine": Call(crops.apply_affine, {"A": AFFINE, "points_px": PIXELS}),
    "crops.crop_intrinsics": Call(crops.crop_intrinsics, {"K": K, "A": AFFINE, "rotation_rad": ANGLE}),
    "crops.to_unit_box": Call(crops.to_unit_box, {"points_px": PIXELS, "box_xyxy": BOX}, {"expand": 1.1}),
    "crops.from_unit_box": Call(crops.from_unit_box, {"points_unit": PIXELS, "box_xyxy": BOX}, {"expand": 1.1}),
    "crops.corner_to_center_convention": Call(crops.corner_to_center_convention, {"coordinates_px": PIXELS}),
    "crops.center_to_corner_convention": Call(crops.center_to_corner_convention, {"coordinates_px": PIXELS}),
    "rotations.axis_angle_to_matrix": Call(rotations.axis_angle_to_matrix, {"axis_angle": VECTOR}),
    "rotations.matrix_to_axis_angle": Call(rotations.matrix_to_axis_angle, {"matrix": ROTATION}),
    "rotations.axis_angle_to_quaternion": Call(rotations.axis_angle_to_quaternion, {"axis_angle": VECTOR}),
    "rotations.quaternion_to_axis_angle": Call(rotations.quaternion_to_axis_angle, {"quaternion": QUATERNION}),
    "rotations.quaternion_to_matrix": Call(rotations.quaternion_to_matrix, {"quaternion": QUATERNION}),
    "rotations.matrix_to_quaternion": Call(rotations.matrix_to_quaternion, {"matrix": ROTATION}),
    "rotations.matrix_to_6d": Call(rotations.matrix_to_6d, {"matrix": ROTATION}),
    "rotations.sixd_to_matrix": Call(rotations.sixd_to_matrix, {"sixd": SIXD}),
    "rotations.geodesic_distance": Call(rotations.geodesic_distance, {"first": ROTATION, "second": ROTATION.T}),
    "rotations.chordal_mean": Call(
        rotations.chordal_mean, {"rotations": np.stack([ROTATION] * 2), "weights": LEVEL[:2]}
    ),
    "rotations.project_to_so3": Call(rotations.project_to_so3, {"matrix": ROTATION}),
    "rotations.is_rotation": Call(rotations.is_rotation, {"matrix": ROTATION}),
    "rotations.mirror_rotation": Call(rotations.mirror_rotation, {"matrix": ROTATION}),
    "rotations.mirror_axis_angle": Call(rotations.mirror_axis_angle, {"axis_angle": VECTOR}),
    "rotations.rotation_z": Call(rotations.rotation_z, {"angle_rad": ANGLE}),
    "transforms.make_transform": Call(transforms.make_transform, {"rotation": ROTATION, "translation": VECTOR}),
    "transforms.invert_transform": Call(transforms.invert_transform, {"T_a_b": RIGID}),
    "transforms.compose_transforms": Call(compose_two, {"first": RIGID, "second": RIGID}),
    "transforms.transform_points": Call(transforms.transform_points, {"T_a_b": RIGID, "points_b": POINTS}),
    "transforms.is_rigid": Call(transforms.is_rigid, {"T_a_b": RIGID}),
    "transforms.points_opengl_to_opencv": Call(transforms.points_opengl_to_opencv, {"points": POINTS}),
    "transforms.points_opencv_to_opengl": Call(transforms.points_opencv_to_opengl, {"points": POINTS}),
    "transforms.transform_opengl_to_opencv": Call(transforms.transform_opengl_to_opencv, {"T_gl_obj": RIGID}),
    "transforms.transform_opencv_to_opengl": Call(transforms.transform_opencv_to_opengl, {"T_cv_obj": RIGID}),
    "transforms.transform_mano": Call(
        transforms.transform_mano,
        {"global_orient": VECTOR, "transl": VECTOR, "T_new_old": RIGID, "rest_root_joint": VECTOR},
    ),
    "transforms.mano_opengl_to_opencv": Call(
        transforms.mano_opengl_to_opencv, {"global_orient": VECTOR, "transl": VECTOR, "rest_root_joint": VECTOR}
    ),
}

WITHOUT_ARRAYS = {"boxes.image_box", "crops.resize_affine", "rotations.random_rotations"}

FITTED = {name for name in CALLS if name.startswith(("alignment.", "cameras.WeakPerspective."))} | {
    "cameras.solve_weak_perspective"
}
"""What arrays.py declares to be float64 whatever came in."""


def public_callables() -> Iterator[str]:
    for module in (alignment, boxes, cameras, crops, rotations, transforms):
        short = module.__name__.rsplit(".", 1)[-1]
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(member):
                yield f"{short}.{name}"
            elif inspect.isclass(member):
                methods = inspect.getmembers(member, inspect.isfunction)
                own = [method for method, body in methods if body.__module__ == module.__name__]
                yield from (f"{short}.{name}.{method}" for method in own if not method.startswith("_"))


def floats_in(result: object) -> list[Array]:
    """Every floating point array of a result, whatever it is wrapped in."""
    if isinstance(result, np.ndarray):
        return [result] if result.dtype.kind == "f" else []
    if isinstance(result, dict):
        return [array for value in result.values() for array in floats_in(value)]
    if isinstance(result, tuple):
        return [array for value in result for array in floats_in(value)]
    if hasattr(result, "__dataclass_fields__"):
        return floats_in(vars(result))
    return [np.asarray(result)] if isinstance(result, np.floating) else []


def batched(call: Call, **lengths: int) -> dict[str, Array]:
    """The arguments of a call, those named repeated along a new batch axis of the given length."""
    return {
        name: np.stack([value] * lengths[name]) if name in lengths else value for name, value in call.arrays.items()
    }


PAIRS = [(name, pair) for name, call in CALLS.items() for pair in itertools.combinations(call.arrays, 2)]
PER_POINT = [
    (name, pair)
    for name, pair in PAIRS
    if all(CALLS[name].arrays[key].shape[:1] == (21,) for key in pair)
    # a solved camera or similarity serves any number of points
    and not set(pair) & {"camera_points", "similarity_points"}
]


def test_every_public_function_stands_in_the_table() -> None:
    assert set(public_callables()) == set(CALLS) | WITHOUT_ARRAYS
    assert len(PER_POINT) >= 7


@pytest.mark.parametrize(("name", "pair"), PAIRS)
def test_batches_of_two_and_three_are_refused_by_every_function_of_two_arguments(
    name: str, pair: tuple[str, str]
) -> None:
    call = CALLS[name]
    call.function(**batched(call, **dict.fromkeys(pair, 2)), **call.options)
    with pytest.raises(ContractError):
        call.function(**batched(call, **dict(zip(pair, (2, 3), strict=True))), **call.options)


@pytest.mark.parametrize(("name", "pair"), PER_POINT)
def test_arguments_that_go_point_by_point_have_the_same_number_of_points(name: str, pair: tuple[str, str]) -> None:
    call = CALLS[name]
    for shorter in pair:
        with pytest.raises(ContractError):
            call.function(**(call.arrays | {shorter: call.arrays[shorter][:-1]}), **call.options)


@pytest.mark.parametrize("name", CALLS)
def test_single_precision_is_kept_by_all_that_fits_nothing_and_by_nothing_that_does(name: str) -> None:
    call = CALLS[name]
    singles = {key: value.astype(np.float32) for key, value in call.arrays.items()}
    dtypes = {array.dtype for array in floats_in(call.function(**singles, **call.options))}
    assert dtypes <= {np.dtype(np.float64 if name in FITTED else np.float32)}
    doubles = floats_in(call.function(**call.arrays, **call.options))
    assert all(array.dtype == np.float64 for array in doubles)
    assert all(np.isfinite(array).all() for array in doubles)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", CALLS)
def test_no_infinity_is_answered_with_a_warning_or_with_an_infinity(name: str, bad: float) -> None:
    call = CALLS[name]
    for key, value in call.arrays.items():
        first_only = value.copy()
        first_only.flat[0] = bad
        for spoilt in (np.full_like(value, bad), first_only):
            try:  # warnings are errors here
                result = call.function(**(call.arrays | {key: spoilt}), **call.options)
            except ContractError:
                continue
            assert not any(np.isinf(array).any() for array in floats_in(result))
