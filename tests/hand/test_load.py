"""Facts about reading hand models."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.hand import load
from hoiray.hand.sides import mirror_axis_angle, mirror_points

KEYS = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "hands_mean", "hands_components")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    """The packaged file's arrays, with pose correctives that are not zero."""
    with np.load(load.packaged_hand_path(), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    arrays["posedirs"] = np.random.default_rng(0).normal(scale=1e-3, size=(778, 3, 135))
    return arrays


@pytest.fixture
def write(tmp_path: Path, raw: dict[str, Any]) -> Callable[..., Path]:
    """Write the arrays with changes; a value of None leaves the key out."""

    def write_file(name: str = "MANO_RIGHT.npz", **changes: Any) -> Path:
        content = {key: value for key, value in {**raw, **changes}.items() if value is not None}
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **content)
        else:
            path.write_bytes(pickle.dumps(content, protocol=2))
        return path

    return write_file


def test_the_packaged_hand_is_a_right_hand_under_cc0() -> None:
    arrays = load.load_hand_arrays()
    assert arrays.is_right
    assert arrays.licence == load.OPEN_HAND_LICENCE
    assert arrays.licence.allows_commercial_use
    assert arrays.notes == ()
    assert arrays.v_template.shape == (778, 3)
    assert arrays.faces.shape == (1538, 3)


def test_arrays_are_float64_and_cannot_be_changed() -> None:
    arrays = load.load_hand_arrays()
    for key in KEYS:
        assert getattr(arrays, key).dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            getattr(arrays, key)[...] = 0
    with pytest.raises(AttributeError):
        arrays.is_right = False


def test_npz_and_pkl_hold_the_same_hand(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    from_npz = load.load_hand_arrays(write("MANO_RIGHT.npz"))
    sparse = scipy.sparse.csc_matrix(raw["J_regressor"])
    from_pkl = load.load_hand_arrays(write("MANO_RIGHT.pkl", J_regressor=sparse))
    for key in (*KEYS, "faces", "parents"):
        np.testing.assert_array_equal(getattr(from_npz, key), getattr(from_pkl, key))


def test_the_root_has_no_parent_whatever_the_file_calls_it(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    for root in (4294967295, -1, 0):
        table = raw["kintree_table"].astype(np.int64)
        table[0, 0] = root
        assert load.load_hand_arrays(write(kintree_table=table)).parents.tolist()[:3] == [-1, 0, 1]


def test_the_file_of_a_user_is_taken_to_be_mano(write: Callable[..., Path]) -> None:
    path = write()
    assert load.load_hand_arrays(path).licence == load.MANO_LICENCE
    assert not load.licence_of(path).allows_commercial_use


def test_a_copy_of_the_open_hand_stays_free_under_any_name(tmp_path: Path) -> None:
    copy = shutil.copy(load.packaged_hand_path(), tmp_path / "MANO_RIGHT.npz")
    assert load.licence_of(copy) == load.OPEN_HAND_LICENCE


def test_the_licence_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="nothing there"):
        load.licence_of(tmp_path / "absent.npz")


# --- refusals name file, key, expected and found ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npz", "pkl"])
@pytest.mark.parametrize("key", [*KEYS, "kintree_table", "f"])
def test_a_missing_key_is_named(write: Callable[..., Path], key: str, suffix: str) -> None:
    path = write(f"MANO_RIGHT.{suffix}", **{key: None})
    with pytest.raises(ContractError, match=rf"MANO_RIGHT\.{suffix}, key '{key}': expected to be present, found only"):
        load.load_hand_arrays(path)


@pytest.mark.parametrize("key", [*KEYS, "kintree_table", "f"])
def test_a_wrong_shape_is_named(write: Callable[..., Path], raw: dict[str, Any], key: str) -> None:
    path = write(**{key: raw[key][..., :-1]})
    with pytest.raises(ContractError, match=rf"key '{key}': expected .*shape .*found .*shape"):
        load.load_hand_arrays(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("key", KEYS)
def test_a_number_that_is_none_is_named(write: Callable[..., Path], raw: dict[str, Any], key: str, value: Any) -> None:
    broken = raw[key].copy()
    broken.flat[3] = value
    with pytest.raises(ContractError, match=rf"key '{key}': expected finite numbers, found 1 that are NaN or infinite"):
        load.load_hand_arrays(write(**{key: broken}))


@pytest.mark.parametrize("value", [np.array("text"), np.zeros((778, 3), dtype=complex), np.zeros((778, 3), dtype=bool)])
def test_an_array_that_holds_no_real_numbers_is_named(write: Callable[..., Path], value: Any) -> None:
    with pytest.raises(ContractError, match=r"key 'v_template': expected an array of real numbers, found a"):
        load.load_hand_arrays(write(v_template=value))


def test_something_that_is_no_array_is_named(write: Callable[..., Path]) -> None:
    with pytest.raises(ContractError, match=r"key 'weights': expected an array of real numbers, found a str"):
        load.load_hand_arrays(write("MANO_RIGHT.pkl", weights="many"))


def test_float_faces_are_refused(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"key 'f': expected integers"):
        load.load_hand_arrays(write(f=raw["f"].astype(np.float32)))


@pytest.mark.parametrize("index", [-1, 778])
def test_a_face_outside_the_mesh_is_refused(write: Callable[..., Path], raw: dict[str, Any], index: int) -> None:
    faces = raw["f"].astype(np.int64)
    faces[7, 1] = index
    with pytest.raises(ContractError, match=rf"key 'f': expected vertex indices from 0 to 777, found .*{index}"):
        load.load_hand_arrays(write(f=faces))


@pytest.mark.parametrize("key", ["weights", "J_regressor"])
def test_rows_that_do_not_sum_to_one_are_refused(write: Callable[..., Path], raw: dict[str, Any], key: str) -> None:
    changed = raw[key].astype(np.float64)
    changed[5] *= 1.01
    with pytest.raises(ContractError, match=rf"key '{key}': expected rows that sum to 1, found sums .*1\.0100"):
        load.load_hand_arrays(write(**{key: changed}))


def test_a_negative_weight_is_refused(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    weights = raw["weights"].astype(np.float64)
    weights[0, 0] += 0.5
    weights[0, 9] -= 0.5
    with pytest.raises(ContractError, match=r"key 'weights': expected no negative skinning weight, found .*-0\.5"):
        load.load_hand_arrays(write(weights=weights))


def test_another_tree_is_refused(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    table = raw["kintree_table"].astype(np.int64)
    table[0, 4] = 3
    with pytest.raises(ContractError, match=r"key 'kintree_table': expected MANO's tree"):
        load.load_hand_arrays(write(kintree_table=table))


@pytest.mark.parametrize("scale", [1000.0, 0.01])
def test_a_hand_in_another_unit_is_refused(write: Callable[..., Path], raw: dict[str, Any], scale: float) -> None:
    with pytest.raises(ContractError, match=r"key 'v_template': expected a hand between .* m long"):
        load.load_hand_arrays(write(v_template=raw["v_template"] * scale))


@pytest.mark.parametrize("suffix", ["npz", "pkl"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_named(write: Callable[..., Path], suffix: str, kept: float) -> None:
    path = write(f"MANO_RIGHT.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ContractError, match=rf"MANO_RIGHT\.{suffix}"):
        load.load_hand_arrays(path)


def test_a_damaged_archive_member_is_named(write: Callable[..., Path]) -> None:
    path = write()
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"MANO_RIGHT\.npz"):
        load.load_hand_arrays(path)


def test_an_npz_with_a_pickled_object_is_refused_unread(write: Callable[..., Path]) -> None:
    with pytest.raises(ContractError, match="pickled objects"):
        load.load_hand_arrays(write(v_template=np.array([{"a": 1}], dtype=object)))


def test_a_bare_array_or_another_suffix_or_another_pickle_is_refused(tmp_path: Path) -> None:
    bare, other, foreign = tmp_path / "a.npz", tmp_path / "a.obj", tmp_path / "a.pkl"
    with bare.open("wb") as file:
        np.save(file, np.zeros(3))
    other.write_text("v 0 0 0")
    foreign.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ContractError, match=r"a\.npz"):
        load.load_hand_arrays(bare)
    with pytest.raises(ContractError, match=r"suffix '\.obj'"):
        load.load_hand_arrays(other)
    with pytest.raises(ContractError, match="a dictionary of arrays, found a list"):
        load.load_hand_arrays(foreign)
    with pytest.raises(ContractError, match="nothing there"):
        load.load_hand_arrays(tmp_path / "absent.npz")


def test_a_suffix_may_be_upper_case(tmp_path: Path, write: Callable[..., Path]) -> None:
    shutil.copy(load.packaged_hand_path(), tmp_path / "HAND.NPZ")
    write("MANO_RIGHT.pkl").rename(tmp_path / "MANO_RIGHT.PKL")
    assert load.load_hand_arrays(tmp_path / "HAND.NPZ").is_right
    assert load.load_hand_arrays(tmp_path / "MANO_RIGHT.PKL").is_right


def test_a_path_that_cannot_be_read_is_refused_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "memory.npz").symlink_to("/proc/self/mem")
    paths = {tmp_path / "folder.npz": "a directory", tmp_path / "memory.npz": "cannot be read", "": "a directory"}
    for path, found in (paths | {tmp_path / ("x" * 5000): "cannot be read", "a\0.npz": "cannot be read"}).items():
        for read in (load.load_hand_arrays, load.licence_of):
            with pytest.raises(ContractError, match=rf"expected a hand model file, found .*{found}"):
                read(path)


@pytest.mark.parametrize("key", ["J_regressor", "v_template", "f"])
def test_a_sparse_matrix_of_another_shape_is_refused_before_it_is_made_dense(
    write: Callable[..., Path], key: str
) -> None:
    sparse = scipy.sparse.coo_matrix(([1.0], ([0], [0])), shape=(2000, 4000))
    with pytest.raises(
        ContractError, match=rf"key '{key}': expected shape .*, found a sparse matrix of shape \(2000, "
    ):
        load.load_hand_arrays(write("MANO_RIGHT.pkl", **{key: sparse}))


def test_the_keys_a_refusal_lists_are_not_a_million(write: Callable[..., Path]) -> None:
    many = {f"key{number}": 0 for number in range(5000)}
    with pytest.raises(ContractError, match="key 'f': expected to be present") as refusal:
        load.load_hand_arrays(write("MANO_RIGHT.pkl", f=None, **many))
    assert len(str(refusal.value)) < 1000


def test_numbers_no_hand_has_are_refused_with_file_and_key(write: Callable[..., Path]) -> None:
    with pytest.raises(ContractError, match=r"MANO_RIGHT\.npz, key 'J_regressor': expected joints within"):
        load.load_hand_arrays(write(J_regressor=np.eye(16, 778)))


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, v_template=np.zeros(load.MAX_BYTES // 8 + 1))
    assert path.stat().st_size < 200_000
    with pytest.raises(ContractError, match=r"bomb\.npz: expected arrays of at most"):
        load.load_hand_arrays(path)


# --- anatomical axes --------------------------------------------------------------------------------------------------


def triads() -> dict[str, Any]:
    turns = Rotation.random(16, random_state=0).as_matrix()
    return {key: turns[:, :, column] for column, key in enumerate(("flexion_axes", "twist_axes", "abduction_axes"))}


def test_stored_axes_are_read(write: Callable[..., Path]) -> None:
    axes = triads()
    arrays = load.load_hand_arrays(write(**axes))
    for key, value in axes.items():
        np.testing.assert_array_equal(getattr(arrays, key), value)


def test_axes_are_all_there_or_none_is(write: Callable[..., Path]) -> None:
    axes = triads()
    assert load.load_hand_arrays(write(**dict.fromkeys(axes))).flexion_axes is None
    with pytest.raises(ContractError, match="key 'twist_axes': expected to be present"):
        load.load_hand_arrays(write(**{**axes, "twist_axes": None}))


def test_axes_that_are_no_unit_vectors_are_refused(write: Callable[..., Path]) -> None:
    axes = triads()
    axes["flexion_axes"][3] *= 1.5
    with pytest.raises(ContractError, match=r"key 'flexion_axes': expected 15 unit axes .*1\.5"):
        load.load_hand_arrays(write(**axes))


# --- left hands -------------------------------------------------------------------------------------------------------


def left_file_keys(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "v_template": mirror_points(raw["v_template"].astype(np.float64)),
        "shapedirs": raw["shapedirs"] * np.array([-1.0, 1.0, 1.0])[None, :, None],
        "f": raw["f"][:, [0, 2, 1]],
        "hands_mean": mirror_axis_angle(raw["hands_mean"].astype(np.float64)),
    }


def test_a_left_hand_is_recognised_and_a_sound_one_left_alone(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    arrays = load.load_hand_arrays(write("MANO_LEFT.npz", **left_file_keys(raw)))
    assert not arrays.is_right
    assert arrays.notes == ()
    np.testing.assert_array_equal(arrays.shapedirs[:, 0], -raw["shapedirs"][:, 0])


def test_the_sign_error_of_mano_left_is_found_fixed_and_noted(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    keys = left_file_keys(raw) | {"shapedirs": raw["shapedirs"]}
    path = write("MANO_LEFT.npz", **keys)
    for fix in ("auto", "apply"):
        arrays = load.load_hand_arrays(path, left_shape_fix=fix)
        np.testing.assert_array_equal(arrays.shapedirs[:, 0], -raw["shapedirs"][:, 0])
        np.testing.assert_array_equal(arrays.shapedirs[:, 1:], raw["shapedirs"][:, 1:])
        assert len(arrays.notes) == 1
        assert "shapedirs" in arrays.notes[0]


def test_the_sign_error_is_kept_on_request(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    path = write("MANO_LEFT.npz", **left_file_keys(raw) | {"shapedirs": raw["shapedirs"]})
    arrays = load.load_hand_arrays(path, left_shape_fix="keep")
    np.testing.assert_array_equal(arrays.shapedirs, raw["shapedirs"])
    assert arrays.notes == ()


def test_a_right_hand_is_never_fixed(write: Callable[..., Path], raw: dict[str, Any]) -> None:
    arrays = load.load_hand_arrays(write(), left_shape_fix="apply")
    np.testing.assert_array_equal(arrays.shapedirs, raw["shapedirs"])


def test_mirroring_a_model_twice_returns_it(write: Callable[..., Path]) -> None:
    arrays = load.load_hand_arrays(write(**triads()))
    once = load.mirror_hand_arrays(arrays)
    twice = load.mirror_hand_arrays(once)
    assert not once.is_right
    assert twice.is_right
    for key in (*KEYS, "faces", "parents", "flexion_axes", "abduction_axes", "twist_axes"):
        np.testing.assert_array_equal(getattr(twice, key), getattr(arrays, key))
