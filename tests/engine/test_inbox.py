import subprocess
import sys

from hoiray.engine.inbox import Inbox
from hoiray.errors import ConfigError, ContractError
from hoiray.training.reports import Note


def test_events_are_handed_over_once_and_in_order() -> None:
    inbox = Inbox()
    for text in ("a", "b"):
        inbox.put(Note(text))
    assert inbox.take() == ([Note("a"), Note("b")], None)
    assert inbox.take() == ([], None)


def test_the_first_fatal_error_counts() -> None:
    inbox = Inbox()
    assert inbox.fatal() is None
    first = ContractError("first")
    inbox.put_fatal(first)
    inbox.put_fatal(ConfigError("second"))
    assert inbox.fatal() is first
    assert inbox.take() == ([], first)


def test_its_process_does_not_load_torch() -> None:
    code = "import sys, hoiray.engine.inbox; assert 'torch' not in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
