"""Commands in README and docs: they exist, and so does every option they are shown with."""

import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from hoiray.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELLS = {"bash", "sh", "console"}
_SPAN = re.compile(r"`([^`]+)`")
_START = re.compile(r"(?:^|\s)(?:\.venv/bin/)?(hoiray|python jobs/\w+\.py|python -m jobs\.\w+)(?=\s|$)")
_END = re.compile(r"\s(?:&&|;|#|>)\s|\s\|\s")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def _commands(page: Path) -> Iterator[str]:
    """Give each command of a page, from its name to its end."""
    text = page.read_text(encoding="utf-8")
    shells = [block for language, block in _BLOCK.findall(text) if language in _SHELLS]
    lines = [line for block in shells for line in block.replace("\\\n", " ").splitlines()]
    spans = [span.replace("\n", " ") for span in _SPAN.findall(_BLOCK.sub("", text))]
    for shown in (*lines, *spans):
        for found in _START.finditer(shown):
            yield _END.split(shown[found.start(1) :], maxsplit=1)[0].strip()


@cache
def _program(name: str) -> "typer.Typer | None":
    if name == "hoiray":
        return app
    stem = re.split("[/. ]", name.removesuffix(".py"))[-1]
    path = ROOT / "jobs" / f"{stem}.py"
    assert path.is_file(), f"no {path.name} in jobs/"
    found = runpy.run_path(str(path)).get("app")
    return found if isinstance(found, typer.Typer) else None


def _problem(command: str) -> str | None:
    """Say what a command names that there is not; None where all of it is there."""
    start = _START.match(command)
    assert start is not None
    program = _program(start.group(1))
    if program is None:  # a job whose options are those of a command of hoiray
        return None
    known = typer.main.get_command(program)
    rest = command[start.end() :].split()
    while hasattr(known, "commands") and rest and re.fullmatch(r"[a-z][a-z0-9-]*", rest[0]):
        words = [rest.pop(0)]
        while rest[:1] == [r"\|"]:  # in a table: `make \| check`
            words.append(rest[1])
            del rest[:2]
        missing = [word for word in words if word not in known.commands]
        if missing:
            return f"no command {missing[0]}"
        known = known.commands[words[0]]
    if hasattr(known, "commands"):
        return None
    names = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    # what follows a lone -- belongs to the job
    missing = [option for option in _OPTION.findall(f" {' '.join(rest)}".split(" -- ")[0]) if option not in names]
    return f"no option {missing[0]}" if missing else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    wrong = {command: problem for command in _commands(page) if (problem := _problem(command)) is not None}
    assert not wrong


def test_a_command_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`hoiray nothing --out x`, `hoiray cluster lint \\| draw`\n\n"
        "```bash\nhoiray index VIDEOS --boxes FILE \\\n    --sample-rate 12 --out PLAN  # --looks-good\n"
        "hoiray status RUN && hoiray evaluate --modell x\n```\n"
    )
    assert [_problem(command) for command in _commands(page)] == [
        "no option --sample-rate", None, "no option --modell", "no command nothing", "no command draw",
    ]  # fmt: skip
