import json
from pathlib import Path

import pytest
from run_folders import commit, letter, plan_of, videos

from hoiray.cli import main as cli
from hoiray.cli.dead import list_dead_videos, retry_dead_videos
from hoiray.io.store import Store
from hoiray.stages.listing import Refusal


def test_every_dead_video_has_a_line_and_can_be_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), [*videos(12), Refusal("video", "e.mp4", "empty", "0 bytes")])
    assert list_dead_videos(str(tmp_path), None, None, as_json=False) == 0
    assert capsys.readouterr().out.endswith("1 dead\n")
    first, *_ = plan.shards()
    commit(store, plan, first, dead_letters=[letter("a b.mp4")])
    assert list_dead_videos(str(tmp_path), None, None, as_json=False) == 0
    said = capsys.readouterr().out
    assert "e.mp4 (index): empty: 0 bytes" in said
    assert "a b.mp4 (decode): InputError: cut off" in said
    assert said.endswith("2 dead\n")
    list_dead_videos(str(tmp_path), None, None, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["video_id"], line["shard_id"]) for line in lines] == [("e.mp4", None), ("a b.mp4", first.shard_id)]
    assert retry_dead_videos(str(tmp_path), None, None, None) == 0
    assert f"{first.shard_id}\n1 shards are pending again" in capsys.readouterr().out


@pytest.mark.parametrize("order", [("RUN", "list"), ("list", "RUN")])
def test_the_run_may_be_named_before_what_is_to_be_done(
    order: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_of(Store.open(tmp_path).below("plan"), [Refusal("video", "e.mp4", "empty", "0 bytes"), *videos(2)])
    named = [str(tmp_path) if word == "RUN" else word for word in order]
    monkeypatch.setattr("sys.argv", ["hoiray", "dead", *named, "--json"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert json.loads(capsys.readouterr().out)["video_id"] == "e.mp4"
