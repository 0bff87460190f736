"""Nothing secret leaves the process: what is written into messages passes through here first."""

import os
import re
from typing import Final

_SECRET_VARIABLES: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_HIDDEN: Final = "***"

_PATTERNS: Final = (
    # s3://KEY:SECRET@bucket, http://user:password@host
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    # presigned URLs and the headers of a signed request
    re.compile(
        r"(?i)(?<=X-Amz-Signature=)[^&\s\"']+|(?<=X-Amz-Credential=)[^&\s\"']+|(?<=X-Amz-Security-Token=)[^&\s\"']+"
    ),
    re.compile(r"(?i)(?<=Signature=)[0-9a-zA-Z%/+=]+|(?<=AWSAccessKeyId=)[^&\s\"']+|(?<=Credential=)[^,&\s\"']+"),
)


def redacted(text: str, *more_secrets: str | None) -> str:
    """Return the text without credentials: those of the environment, those given, and all that look like some.

    Args:
        text: a message of another library, or a URI as a user wrote it.
        more_secrets: credentials that do not stand in the environment (of a profile).
    """
    known = [*(os.environ.get(name) for name in _SECRET_VARIABLES), *more_secrets]
    # the longest first: one may be a part of another
    for secret in sorted({value for value in known if value and len(value) >= 4}, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    return text
