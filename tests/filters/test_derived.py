import numpy as np
import pyarrow as pa
from filter_scenes import predictions
from valid_tables import replaced

from hoiray.filters.derived import DERIVED, DERIVED_UNITS, measured, palm_length_m, unit_of
from hoiray.filters.rules import GUARDED_ONLY
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS


def test_a_palm_grows_with_its_hand_and_no_bent_finger_changes_it() -> None:
    table = predictions(seed=1, num_videos=3)
    column = LABELS["joints_3d"]
    joints = unpack_column(table, column)
    larger = replaced(table, "joints_3d", pack_column(column, joints * np.float32(1.4), np.isnan(joints[:, 0, 0])))
    np.testing.assert_allclose(palm_length_m(larger), np.float32(1.4) * palm_length_m(table), rtol=1e-5)
    bent = joints.copy()
    bent[:, [SIMPLE_NAMES.index("middle_tip"), SIMPLE_NAMES.index("thumb_tip")]] = 0.5
    bent_table = replaced(table, "joints_3d", pack_column(column, bent, np.isnan(joints[:, 0, 0])))
    assert np.array_equal(palm_length_m(bent_table), palm_length_m(table), equal_nan=True)


def test_what_is_derived_has_a_unit_a_filter_and_no_column() -> None:
    assert set(DERIVED) == set(DERIVED_UNITS) == set(GUARDED_ONLY)
    assert not set(DERIVED) & set(LABELS.names)
    table: pa.Table = predictions(seed=1, num_videos=2)
    assert np.array_equal(measured(table, "box_iou"), unpack_column(table, LABELS["box_iou"]), equal_nan=True)
    assert (unit_of("palm_length_m"), unit_of("spread_3d_m"), unit_of("box_iou")) == ("m", "m", "1")
