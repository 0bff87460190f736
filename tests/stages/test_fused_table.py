import numpy as np
import pyarrow as pa
from labelling import is_same
from predictor_scenes import IS_RIGHT, SIZE_WH, K, N, scenes

from hoiray.config.what import Ensemble
from hoiray.hand.model import HandModel
from hoiray.predictors.ensemble import fuse
from hoiray.predictors.protocol import HandPredictions
from hoiray.schema.columns import unpack_column
from hoiray.stages.fused_table import HandFacts, fused_table
from hoiray.stages.measure import FUSED, measure


def facts(K_of: np.ndarray = K) -> HandFacts:
    columns = {
        "video_id": [f"v{index}" for index in range(N)],
        "frame_index": np.arange(N),
        "hand_index": np.zeros(N),
        "time_s": np.arange(N) / 12.0,
        "is_right": IS_RIGHT,
        "side_source": ["given"] * N,
        "bbox_xyxy": scenes().request.hand_boxes_xyxy,
        "box_source": ["given"] * N,
        "upright_px": np.where(np.arange(N)[:, None, None] == 1, np.nan, np.ones((N, 2, 2))),
        "object_bbox_xyxy": np.where(np.arange(N)[:, None] == 2, np.nan, scenes().request.object_boxes_xyxy),
        "crop_change": np.where(np.arange(N) == 0, np.nan, 0.1),
    }
    return HandFacts(columns, np.broadcast_to(K_of, (N, 3, 3)), SIZE_WH, "s", "p")


def perfect(*, failed: int | None = None) -> HandPredictions:
    truth = scenes()
    values = {
        "joints_3d_m": truth.joints_3d_m - truth.joints_3d_m[:, :1],
        "joints_2d_px": truth.joints_2d_px.copy(),
        "rotations": truth.rotations.copy(),
        "betas": truth.betas.copy(),
        "T_cam_obj": truth.T_cam_obj.copy(),
    }
    failures: list[str | None] = [None] * N
    if failed is not None:
        for array in values.values():
            array[failed] = np.nan
        failures[failed] = "too_dark"
    objects = tuple("none" if failed == row else None for row in range(N))
    return HandPredictions(**values, failures=tuple(failures), object_failures=objects)


def table_of(answer: HandPredictions, hand: HandModel | None, known: HandFacts, num_rows: int = N) -> pa.Table:
    fused = fuse(answer, Ensemble(num_views=1).num_views, hand=hand, is_right=IS_RIGHT)
    return fused_table(known, fused, hand, num_rows=num_rows)


HAND = HandModel.load(flat_hand_mean=True, tip_set="ho3d")


def test_a_perfect_prediction_is_where_the_hand_is_and_its_mesh_fills_its_box() -> None:
    truth = scenes()
    table = table_of(perfect(), HAND, facts())
    wrist = truth.records["wrist_3d_m"] * np.where(IS_RIGHT, 1.0, -1.0)[:, None] ** np.array([1, 2, 2])
    betas, transl = (unpack_column(table, FUSED[name]) for name in ("betas", "transl"))
    root = HAND.rest_root(_tensor(betas), is_right=_tensor(IS_RIGHT)).numpy()
    np.testing.assert_allclose(transl + root, wrist, atol=2e-3)
    measured = measure(table)
    assert unpack_column(measured, FUSED["is_right"]).tolist() == IS_RIGHT.tolist()
    assert np.nanmin(measured["box_iou"].to_numpy()) > 0.5


def _tensor(values: np.ndarray) -> object:
    import torch

    return torch.from_numpy(np.array(values))


def test_what_is_not_known_is_null() -> None:
    table = table_of(perfect(failed=1), HAND, facts(np.full((3, 3), np.nan)))
    assert table["failure"].to_pylist() == [None, "too_dark", None, None, None, None]
    for name in ("joints_3d", "joints_2d", "betas", "global_orient", "hand_pose", "T_cam_obj"):
        assert [value is None for value in table[name].to_pylist()] == [False, True, False, False, False, False]
    assert (table["K"].null_count, table["transl"].null_count) == (N, N)
    assert [value is None for value in table["object_bbox_xyxy"].to_pylist()] == [index == 2 for index in range(N)]


def test_joints_without_parameters_have_neither_pose_nor_mesh() -> None:
    answer = perfect()
    joints_only = HandPredictions(answer.joints_3d_m, answer.joints_2d_px)
    table = table_of(joints_only, None, facts())
    assert [table[name].null_count for name in ("betas", "hand_pose", "transl", "joints_3d")] == [N, N, N, 0]
    assert np.isnan(unpack_column(table, FUSED["mesh_extent_m"])).all()
    assert measure(table).num_rows == N


def test_rows_that_only_fill_a_batch_are_left_out() -> None:
    assert is_same(table_of(perfect(), HAND, facts(), num_rows=4), table_of(perfect(), HAND, facts()).slice(0, 4))
