from pathlib import Path

from hoiray.errors import InputError
from hoiray.io.local_backend import LocalBackend
from hoiray.io.objects import Backend, MissingFileError
from hoiray.io.s3_backend import S3Backend
from hoiray.io.storage import S3Location


def test_both_kinds_of_storage_are_backends(tmp_path: Path) -> None:
    backends: list[Backend] = [LocalBackend(str(tmp_path)), S3Backend(S3Location("b", ""))]
    assert len(backends) == 2


def test_a_missing_file_is_bad_input() -> None:
    assert issubclass(MissingFileError, InputError)
