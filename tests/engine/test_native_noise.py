import subprocess
import sys

PROGRAM = """
import os, sys
from hoiray.engine.native_noise import native_noise_hidden
print("before", file=sys.stderr)
with native_noise_hidden():
    os.write(2, b"[E 1] core_worker.cc:1: it has constructor arguments in the object store and max_restarts > 0.\\n")
    os.write(2, b"[E 1] a real error of native code\\n")
    print("Python is heard", file=sys.stderr)
    {more}
os.write(2, b"afterwards has constructor arguments in the object store and max_restarts > 0\\n")
print("after", file=sys.stderr)
"""


def said_by(more: str = "") -> list[str]:
    program = PROGRAM.format(more=more)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    return done.stderr.splitlines()


def test_known_noise_is_left_out_and_everything_else_is_heard() -> None:
    said = said_by()
    assert said[0] == "before"
    assert said[-2:] == ["afterwards has constructor arguments in the object store and max_restarts > 0", "after"]
    assert sorted(said[1:-2]) == ["Python is heard", "[E 1] a real error of native code"]


def test_the_last_words_of_a_process_that_crashes_are_heard() -> None:
    # the pipe outlives its writer by a moment; whoever reads standard error waits for its end
    assert "last words" in said_by('os.write(2, b"last words\\n"); os.abort()')
