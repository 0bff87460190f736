"""The S3 side against a real server, undisturbed and through a proxy that spoils answers."""

import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fault_proxy import FAULTS, FaultProxy, running_fault_proxy, without_conditional_puts
from s3_server import S3Server

from hoiray.errors import ConfigError, InputError
from hoiray.io import retry, s3_backend
from hoiray.io.storage import is_transient, s3_client
from hoiray.io.store import Store

pytestmark = pytest.mark.s3


@pytest.fixture
def proxy(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with running_fault_proxy(s3_environment.endpoint, rate=0.0, seed=3) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        # the attempts of a run without its waits
        monkeypatch.setattr(s3_backend, "call_with_retries", partial(retry.call_with_retries, sleep=lambda _: None))
        yield running


@pytest.fixture
def store(s3_environment: S3Server, tmp_path: Path) -> Store:
    return Store.open(f"{s3_environment.uri}/{tmp_path.name}")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_is_exact_through_every_fault(store: Store, proxy: FaultProxy, fault: str) -> None:
    proxy.faults, proxy.rate = (fault,), 0.25
    big = bytes(range(256)) * 400
    for index in range(6):
        assert store.put_if_absent(f"m/{index}", b"first %d" % index)
        assert not store.put_if_absent(f"m/{index}", b"second %d" % index)
        store.write(f"d/{index}", big + b"%d" % index)
        assert store.read(f"d/{index}") == big + b"%d" % index
        assert store.read_range(f"d/{index}", 100, 300) == big[100:300]
        assert store.size(f"m/{index}") == 7
    store.delete("d/0")
    assert store.info("d/0") is None
    assert [info.key for info in store.objects()] == sorted(
        [f"m/{i}" for i in range(6)] + [f"d/{i}" for i in range(1, 6)]
    )
    assert [store.read(f"m/{index}") for index in range(6)] == [b"first %d" % index for index in range(6)]
    assert proxy.planted[fault] >= 5


def test_a_server_that_never_recovers_is_named_without_its_secret(store: Store, proxy: FaultProxy) -> None:
    proxy.faults, proxy.rate = ("503",), 1.0
    with pytest.raises(InputError, match=r"s3://hoiray/.*/k: expected a place that can be written.*SlowDown") as raised:
        store.write("k", b"1")
    assert "test-secret" not in str(raised.value)
    assert proxy.planted["503"] == retry.PATIENT.max_attempts


def test_a_cut_body_is_never_taken_for_a_short_object(store: Store, proxy: FaultProxy) -> None:
    store.write("k", bytes(100_000))
    proxy.faults, proxy.rate = ("cut",), 1.0
    with pytest.raises(InputError, match=r"IncompleteRead|ResponseStreamingError|CutBodyError"):
        store.read("k")


def test_of_many_writers_of_a_key_one_is_told_that_he_was_first(store: Store, proxy: FaultProxy) -> None:
    proxy.faults, proxy.rate = ("lost", "reset", "500"), 0.2
    told: dict[int, bool] = {}

    def write(index: int) -> None:
        told[index] = store.put_if_absent("k", b"writer %d" % index)

    threads = [threading.Thread(target=write, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [index for index, is_first in told.items() if is_first]
    assert len(told) == 12
    assert len(winners) == 1
    assert store.read("k") == b"writer %d" % winners[0]


def test_a_server_without_conditional_puts_is_noticed_and_gets_leases(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3_backend, "LEASE_WAIT_S", 0.05)
    rewrite = without_conditional_puts(s3_environment.access_key, s3_environment.secret_key)
    with running_fault_proxy(s3_environment.endpoint, rate=0.0, rewrite=rewrite) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with caplog.at_level(logging.WARNING):
            store = Store.open(f"{s3_environment.uri}/{tmp_path.name}").probed()
        assert store.put_mode == "lease"
        assert "ignores If-None-Match" in caplog.text
        told: list[bool] = []
        threads = [
            threading.Thread(target=lambda i=i: told.append(store.put_if_absent("k", b"%d" % i))) for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == [False, False, False, True]
        assert [info.key for info in store.objects()] == ["k"]


def test_a_server_with_conditional_puts_is_used_as_such(store: Store) -> None:
    assert store.probed().put_mode == "conditional"


def test_another_version_is_refused(store: Store) -> None:
    store.write("k", b"1")
    info = store.info("k")
    assert info is not None
    assert store.read("k", etag=info.etag) == b"1"
    store.write("k", b"2")
    for read in (lambda: store.read("k", etag=info.etag), lambda: store.read_range("k", 0, 1, etag=info.etag)):
        with pytest.raises(InputError, match="index again with --update"):
            read()


def test_a_range_behind_the_end_is_an_error(store: Store) -> None:
    store.write("k", b"12345")
    assert store.read_range("k", 3, 5) == b"45"
    assert store.read_range("k", 3, 3) == b""
    with pytest.raises(InputError, match="at least 9 bytes"):
        store.read_range("k", 3, 9)
    with pytest.raises(InputError, match="an earlier end"):
        store.read_range("k", 7, 9)


@pytest.mark.parametrize("name", ["a b.mp4", "q'uo\"te.mp4", "ünïcode🖐.mp4", "plus+%20.mp4", "a..b.mp4", "#?&=.mp4"])
def test_names_come_back_as_they_were_written(store: Store, name: str) -> None:
    store.write(f"folder x/{name}", b"1")
    assert list(store.list("folder x")) == [f"folder x/{name}"]
    assert store.read(f"folder x/{name}") == b"1"


def test_a_listing_of_several_pages_is_whole_and_sorted(store: Store) -> None:
    client = s3_client()
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    for index in range(7):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{index}", Body=b"")

    def small_pages(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 2

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
    try:
        assert [info.key for info in store.objects()] == [str(index) for index in range(7)]
    finally:
        client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", small_pages)


def test_a_wrong_secret_is_refused_without_being_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-9")
    for call in (lambda: store.read("k"), lambda: store.write("k", b""), store.probed, lambda: list(store.objects())):
        with pytest.raises(InputError, match="credentials' rights") as raised:
            call()
        assert "wrong-secret-9" not in str(raised.value)
        assert "wrong-secret-9" not in repr(store)


def test_a_profile_is_used(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id={s3_environment.access_key}\naws_secret_access_key={s3_environment.secret_key}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    store = Store.open(f"{s3_environment.uri}/{tmp_path.name}")
    store.write("k", b"1")
    assert store.read("k") == b"1"


def test_a_profile_that_is_not_there_is_a_config_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        store.read("k")


def test_without_credentials_the_message_tells_of_public_buckets(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="AWS_NO_SIGN_REQUEST=true"):
        store.read("k")
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "true")
    # unsigned: the server knows nobody of that name, and says so
    with pytest.raises(InputError, match="AccessDenied"):
        store.read("k")


def test_pyarrows_file_system_reaches_the_same_files(store: Store) -> None:
    store.write("a/k", b"12")
    filesystem, root = store.arrow_filesystem()
    with filesystem.open_input_stream(f"{root}/a/k") as stream:
        assert stream.read() == b"12"


def test_refusals_are_not_repeated() -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

    def refusal(status: int, code: str) -> ClientError:
        answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return ClientError(answer, "PutObject")  # type: ignore[arg-type]  # a part of a real answer

    assert not any(map(is_transient, [refusal(403, "AccessDenied"), refusal(404, "NoSuchKey"), NoCredentialsError()]))
    transient = [refusal(503, "SlowDown"), refusal(500, "InternalError"), refusal(400, "RequestTimeout")]
    assert all(map(is_transient, [*transient, EndpointConnectionError(endpoint_url="x"), ConnectionResetError()]))
