import pytest

from hoiray.io.secrets import redacted


@pytest.mark.parametrize(
    ("text", "kept", "hidden"),
    [
        ("s3://KEYID:s3cr3t@bucket/x", "bucket/x", "s3cr3t"),
        ("http://user:pass@host:8333/b", "host:8333/b", "pass"),
        ("GET /b?X-Amz-Signature=0aff&X-Amz-Date=1", "X-Amz-Date=1", "0aff"),
        ("?X-Amz-Credential=AKIA/2026&x=1", "x=1", "AKIA"),
        ("?AWSAccessKeyId=AKIA12&Signature=ab%2Fcd=&x=1", "x=1", "ab%2Fcd"),
        ("Authorization: Credential=AKIA9/20260101/us, SignedHeaders=host", "SignedHeaders=host", "AKIA9"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, kept: str, hidden: str) -> None:
    assert kept in redacted(text)
    assert hidden not in redacted(text)


def test_the_environments_credentials_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUt/K7")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tok-en")
    assert redacted("a wJalrXUt/K7 b tok-en c profile-secret", "profile-secret") == "a *** b *** c ***"


def test_other_text_stays_as_it_is() -> None:
    assert redacted("s3://bucket/a b@c.mp4: expected x, found y") == "s3://bucket/a b@c.mp4: expected x, found y"
