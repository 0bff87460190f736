from pathlib import Path

from export_scenes import lineage, scene


def test_the_lineage_names_every_id_and_no_secret(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    told = lineage(made.run).to_json()
    for name in ("plan_id", "predict_id", "judge_id", "snapshot_id"):
        assert told[name] == getattr(made.run, name)
    assert "SECRET" not in str(told)
    assert told["teacher"].startswith("network, weights s3://")
    assert told["hand_licence"].startswith("CC0-1.0")
    assert told["allows_commercial_use"] is True
