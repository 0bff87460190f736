import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hoiray.benchmarks import suite
from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.suite import APART, PARTS, Settings, main, measured_apart, run
from hoiray.errors import ConfigError

FORCED = Settings(force=True)


def told(*rows: Row, **more: Any) -> dict[str, Any]:
    return {"machine": {"cpu": "abacus"}, "seconds": 3.0, "rows": [row.plain() for row in rows]} | more


def test_parts_that_were_not_asked_for_keep_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"judge": told(Row.single("judge_sql", 1.25)), "control": told(Row.single("resume", 99.0))}
    monkeypatch.setattr(suite, "measured_apart", lambda name, *_: answers[name])
    run(tmp_path, FORCED, ["judge"])
    text = run(tmp_path, FORCED, ["control"])
    assert "| 1.25 |" in text
    assert "1 of 2 goals are met" in text
    assert text.index("## Judge") < text.index("## Control plane")
    assert "abacus" in text
    missing = [name for name in PARTS if name not in answers]
    assert f"Not measured: {', '.join(missing)}." in text
    assert (tmp_path / "performance.md").read_text() == text
    assert json.loads((tmp_path / "performance.json").read_text())["judge"]["rows"][0]["is_met"] is True


def test_a_part_that_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"judge": told(failed="RuntimeError: no"), "control": told(Row.single("resume", 1.0))}
    monkeypatch.setattr(suite, "measured_apart", lambda name, *_: answers[name])
    text = run(tmp_path, FORCED, ["judge", "control"])
    assert "**It failed: RuntimeError: no**" in text
    assert "## Control plane" in text


def test_the_peer_is_left_out_where_nobody_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "measured_apart", lambda *_: pytest.fail("it was measured"))
    run(tmp_path, FORCED, ["peer"])


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected ensemble, .*found jugde"):
        run(tmp_path, FORCED, ["jugde"])


def test_a_part_is_measured_in_a_process_of_its_own_and_says_why_it_ended() -> None:
    found = measured_apart("peer", FORCED, {"cores": "2"})
    assert found["rows"] == []
    assert "AssertionError" in found["failed"]


def test_the_adaptive_ensemble_is_taken_over_from_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"value": 0.9, "low": 0.8, "high": 0.95}
    report = {"kept": kept, "views_share": 0.3, "num_hands": 100, "num_videos": 7}
    (tmp_path / "adaptive.json").write_text(json.dumps(report))
    main(["adaptive", json.dumps({"adaptive": str(tmp_path / "adaptive.json")})])
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["adaptive_kept"]["is_met"], rows["adaptive_views"]["is_met"]) == (False, True)
    assert rows["adaptive_kept"]["figure"] == {"median": 0.9, "minimum": 0.8, "maximum": 0.95}
    main(["adaptive", "{}"])
    assert json.loads(capsys.readouterr().out) == []


def test_every_part_can_be_asked_for() -> None:
    job = runpy.run_path(str(Path(__file__).parents[2] / "jobs" / "benchmark.py"))
    assert [*job["PARTS"].split(","), *APART] == list(PARTS)


def test_parts_are_named_before_which_the_machine_was_busy_not_those_that_kept_it_busy_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = iter(["9.5", "0.2"])
    monkeypatch.setattr(suite, "machine", lambda: {"load_1min": next(loads), "cores": "2"})

    def measured(_name: str, _settings: Settings, facts: Mapping[str, str]) -> dict[str, Any]:
        return told(Row.single("resume", 1.0)) | {"machine": dict(facts)}

    monkeypatch.setattr(suite, "measured_apart", measured)
    run(tmp_path, FORCED, ["judge"])
    text = run(tmp_path, FORCED, ["control", "filters"])
    assert "**not idle**, so that these figures are to be distrusted: judge." in text
