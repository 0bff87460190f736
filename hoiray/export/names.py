"""Names of videos as names of files: whatever a video is called, its files stay below the export's folder."""

import hashlib
import re
import string
from typing import Final

MAX_READABLE: Final = 40
"""Characters kept of a video's own name; the digest behind them keeps names apart."""

DIGEST_LENGTH: Final = 10

NUM_LETTERS: Final = 12
"""Of a name of letters only: 26 ** 12 of them, so that a million videos collide with a chance of 5e-6."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]+")


def safe_name(video_id: str) -> str:
    """Return a name of ASCII letters, digits, `_` and one `-`: no dot, no slash, different for different videos."""
    readable = _UNSAFE.sub("_", video_id).strip("_")[-MAX_READABLE:].strip("_") or "video"
    return f"{readable}-{_digest(video_id).hexdigest()[:DIGEST_LENGTH]}"


def letters_of(video_id: str) -> str:
    """Return a name of small letters only, for formats that read meaning into digits."""
    number = int.from_bytes(_digest(video_id).digest()[:12], "little")
    letters = string.ascii_lowercase
    return "".join(letters[number // len(letters) ** place % len(letters)] for place in range(NUM_LETTERS))


def _digest(video_id: str) -> "hashlib._Hash":
    return hashlib.sha256(video_id.encode("utf-8", "surrogatepass"))
