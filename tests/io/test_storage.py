import pytest
from s3_server import S3Server

from hoiray.errors import ConfigError, InputError
from hoiray.io import storage
from hoiray.io.storage import S3Location, _parse_time, probe_s3, s3_client


def test_an_s3_uri_splits_into_bucket_and_prefix() -> None:
    assert S3Location.parse("s3://bucket/a/b/") == S3Location("bucket", "a/b")
    assert S3Location.parse("s3://bucket").key("x") == "x"
    assert S3Location.parse("s3://bucket/a").key("x") == "a/x"


@pytest.mark.parametrize("uri", ["bucket/a", "http://bucket/a", "s3://", "s3:///a", ""])
def test_a_uri_that_is_not_s3_is_refused_by_name(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"expected s3://BUCKET"):
        S3Location.parse(uri)


@pytest.mark.s3
def test_a_real_server_is_probed_and_left_clean(s3_environment: S3Server) -> None:
    probe = probe_s3(f"{s3_environment.uri}/some/prefix")
    assert probe.refuses_second_put
    assert probe.endpoint == s3_environment.endpoint
    listing = s3_client().list_objects_v2(Bucket=s3_environment.bucket, Prefix="some/prefix/.hoiray")
    assert listing["KeyCount"] == 0


@pytest.mark.s3
def test_a_wrong_secret_is_an_input_error_that_names_the_place(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(InputError, match=rf"{s3_environment.uri} at {s3_environment.endpoint}"):
        probe_s3(s3_environment.uri)


def test_an_unreachable_server_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = S3Server("http://127.0.0.1:1", "b", "k", "s")
    for key, value in server.environment().items():
        monkeypatch.setenv(key, value)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1"):
        probe_s3("s3://b")


def test_times_are_those_that_botocore_reads() -> None:
    from botocore.utils import parse_timestamp

    for text in ("2026-11-29T01:02:03.000Z", "2026-11-29T01:02:03Z", "Sun, 29 Nov 2026 01:02:03 GMT", "1764378123"):
        assert _parse_time(text) == parse_timestamp(text)


def test_a_uri_with_credentials_is_refused_without_repeating_them() -> None:
    with pytest.raises(ConfigError, match="no credentials in the URI") as raised:
        S3Location.parse("s3://AKIAX:s3cr3t@bucket/x")
    assert "s3cr3t" not in str(raised.value)
    assert "AKIAX" not in str(raised.value)


@pytest.mark.s3
def test_a_client_is_shared_until_the_environment_changes(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3_environment.secret_key not in repr(storage._clients)
    first = s3_client()
    assert s3_client() is first
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    assert s3_client() is not first
