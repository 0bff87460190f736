import dataclasses
import re
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.cli import doctor
from hoiray.config.where import ClusterConfig, Node, Pool
from hoiray.engine import probe
from hoiray.io import storage, video


def _lines(checks: object) -> list[doctor.Check]:
    return list(checks)  # type: ignore[call-overload]  # every check yields Check objects


def test_a_healthy_package_list_is_one_line() -> None:
    (line,) = _lines(doctor.check_packages())
    assert line.status == "ok"
    assert "torch " in line.detail


def test_a_missing_package_is_an_error_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REQUIRED_PACKAGES", ("numpy", "no-such-package"))
    missing, found = _lines(doctor.check_packages())
    assert (missing.status, found.status) == ("error", "ok")
    assert "no-such-package" in missing.detail
    assert missing.fix


@pytest.mark.parametrize(("memory_gib", "status"), [(4, "warning"), (64, "ok")])
def test_little_memory_is_a_warning(memory_gib: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: memory_gib * doctor.GIB)
    assert _lines(doctor.check_memory())[0].status == status


def test_the_advice_on_memory_names_fields_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: doctor.GIB)
    fix = _lines(doctor.check_memory())[0].fix
    fields = {*Node.model_fields, *Pool.model_fields, *ClusterConfig.model_fields}
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", fix))
    assert named == {"object_store_gib"}
    assert {*named, "max", "pools"} <= fields


def test_the_memory_limit_is_positive_and_no_more_than_the_machine() -> None:
    assert doctor.GIB // 4 < doctor.memory_limit_bytes() < 1 << 50


@pytest.mark.parametrize(("cores", "status"), [({0}, "warning"), ({0, 1}, "ok")])
def test_a_single_core_is_a_warning(cores: set[int], status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: cores)
    assert _lines(doctor.check_cores())[0].status == status


def test_a_dead_ray_is_a_warning_that_says_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "probe_ray", lambda address, timeout_s: probe.RayProbe(False, "no answer within 3 s"))
    for address in (None, "ray://head:10001"):
        (line,) = _lines(doctor.check_ray(address, 3.0))
        assert line.status == "warning"
        assert "no answer" in line.detail
        assert line.fix


def test_a_malformed_ray_address_is_a_warning_that_shows_the_forms() -> None:
    (line,) = _lines(doctor.check_ray("bogus://x", 60.0))
    assert line.status == "warning"
    assert "expected HOST:PORT, ray://HOST:PORT, auto or local, found 'bogus://x'" in line.detail


def test_s3_that_was_not_asked_for_is_not_tried() -> None:
    (line,) = _lines(doctor.check_s3(None))
    assert line.status == "warning"
    assert "--s3" in line.fix


@pytest.mark.s3
def test_a_real_s3_server_is_ok(s3_environment: S3Server) -> None:
    (line,) = _lines(doctor.check_s3(s3_environment.uri))
    assert line.status == "ok"
    assert "put-if-absent holds" in line.detail


def test_a_malformed_s3_uri_is_a_warning() -> None:
    (line,) = _lines(doctor.check_s3("bucket/prefix"))
    assert line.status == "warning"
    assert "s3://BUCKET" in line.detail


def test_an_s3_without_put_if_absent_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = storage.S3Probe(storage.S3Location("b", ""), "http://x", refuses_second_put=False)
    monkeypatch.setattr(storage, "probe_s3", lambda uri: blind)
    (line,) = _lines(doctor.check_s3("s3://b"))
    assert line.status == "warning"
    assert "one at a time" in line.fix


def test_a_broken_decoder_is_a_warning_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    good = video.CodecProbe("vp9", "pyav", ok=True, detail="")
    bad = dataclasses.replace(good, decoder="decord", ok=False, detail="11 frames instead of 12")
    monkeypatch.setattr(video, "probe_codecs", lambda folder: [good, bad])
    (line,) = _lines(doctor.check_codecs())
    assert line.status == "warning"
    assert "decord 11 frames" in line.detail


def test_the_packaged_hand_is_found_with_its_licence() -> None:
    (line,) = _lines(doctor.check_hand_model(None))
    assert line.status == "ok"
    assert "CC0" in line.detail


def test_a_hand_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (line,) = _lines(doctor.check_hand_model(tmp_path / "MANO_RIGHT.pkl"))
    assert line.status == "error"
    assert "MANO_RIGHT.pkl" in line.detail


def test_the_report_ends_in_counts_and_its_status_follows_the_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(probe, "probe_ray", lambda address, timeout_s: probe.RayProbe(True, "a task ran", 1, 2.0, 0.0))
    assert doctor.run_doctor(hand_model=None, ray_address=None, s3_uri=None, timeout_s=60) == 0
    assert capsys.readouterr().out.strip().endswith(" 0 errors")
    assert doctor.run_doctor(hand_model=tmp_path / "no.npz", ray_address=None, s3_uri=None, timeout_s=60) == 1
