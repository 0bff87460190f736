"""Rounds of self-training in one folder: teacher, labels, student, audit; and again with the student as the teacher.

::

    OUT/
      self_training.json           what happened: every round's labels, gauges, audit and decision
      teacher/                     the supervised training, where no checkpoint is given
      round-1/labels/              a label run: see hoiray.stages.run_layout
      round-1/train/               the student
      round-1/audit/               hoiray evaluate --against
      phases/, logs/               a record and a log of every command

Every file but the first is written by a command that anyone can type; see :mod:`hoiray.selftrain.phases`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal

from pydantic import JsonValue

from hoiray.config.fingerprint import fingerprint
from hoiray.config.self_training import Audit as AuditConfig
from hoiray.config.self_training import SelfTraining
from hoiray.config.what import RunConfig
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.io.json_values import nan_to_none
from hoiray.io.store import Store
from hoiray.selftrain.audit import Audit, Finding, read_audit
from hoiray.selftrain.gauges import Gauges, compare_rounds
from hoiray.selftrain.phases import MODEL_FILE, Phase, Runner, command_line
from hoiray.selftrain.round_labels import RoundLabels, pairs_of

STORY_FILE: Final = "self_training.json"

Decision = Literal["next round", "last round", "stopped: no gain shown", "stopped: harm", "stopped: no labels"]


@dataclass(frozen=True)
class RoundsRequest:
    """What is asked for.

    Attributes:
        run: the resolved run; it has the sections `training` and `self_training`.
        run_file: the file it was read from, which the commands are given.
        overrides: changes of it, as behind `--set`.
        options: of `hoiray label` and `hoiray train` that say where they run (`--cluster`, `--no-ray`, ...).
    """

    run: RunConfig
    run_file: str
    overrides: tuple[str, ...] = ()
    label_options: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """The overrides that concern the commands."""
        return tuple(change for change in self.overrides if not change.startswith("self_training."))


@dataclass(frozen=True)
class RoundResult:
    """One round.

    Attributes:
        number: from 1.
        teacher, student: their checkpoints.
        num_rows, num_accepted: labels.
        gauges: against the round before; None in the first.
        audit: None where there was nothing to train on.
        finding: of the metric that decides.
        decision: what follows.
    """

    number: int
    teacher: str
    student: str
    num_rows: int
    num_accepted: int
    gauges: Gauges | None
    audit: Audit | None
    finding: Finding | None
    decision: Decision

    @property
    def acceptance(self) -> float:
        """Accepted labels over all; 0 where there is none."""
        return self.num_accepted / self.num_rows if self.num_rows else 0.0

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        gauges = None if self.gauges is None else self.gauges.document() | {"warnings": self.gauges.warnings()}
        return {
            "round": self.number,
            "teacher": self.teacher,
            "student": self.student,
            "num_rows": self.num_rows,
            "num_accepted": self.num_accepted,
            "gauges_since_last_round": gauges,
            "audit": None if self.audit is None else nan_to_none(self.audit.document()),
            "finding": self.finding,
            "decision": self.decision,
        }


@dataclass(frozen=True)
class Story:
    """A self-training that has ended.

    Attributes:
        rounds: in order.
        teacher: the first.
        best: the checkpoint to use: the last one that an audit has shown to be better, else the first teacher.
    """

    rounds: tuple[RoundResult, ...]
    teacher: str
    best: str


class Rounds:
    """The rounds of one folder."""

    def __init__(self, request: RoundsRequest, runner: Runner) -> None:
        """Prepare; nothing is done yet.

        Args:
            request: what is asked for.
            runner: of the folder.

        Raises:
            ConfigError: the run has no `training` or no `self_training`, or its labels are another's.
        """
        self._request, self._runner, self._store = request, runner, runner.store
        self._settings = _settings_of(request.run)
        self._first_phase = len(runner.finished)

    def run(self) -> Story:
        """Do what is not done yet, up to the end.

        Raises:
            ConfigError: what is there was made with other settings.
            PhaseFailedError: a command failed.
            ContractError: the audited hands changed between rounds.
        """
        first = teacher = best = self._teacher()
        rounds: list[RoundResult] = []
        for number in count(1):
            result = self._round(number, teacher, rounds)
            rounds.append(result)
            if result.finding == "better":
                best = result.student
            story = Story(tuple(rounds), first, best)
            self._write(story)
            if result.decision != "next round":
                break
            teacher = result.student
        return story

    def _teacher(self) -> str:
        given = self._request.run.teacher.checkpoint_uri
        if given is not None:
            return given
        self._runner.do(teacher_phase(self._request, self._store))
        return self._store.url(f"teacher/{MODEL_FILE}")

    def _round(self, number: int, teacher: str, before: Sequence[RoundResult]) -> RoundResult:
        self._runner.do(label_phase(self._request, self._store, number, teacher))
        labels = RoundLabels(self._store.below(f"round-{number}/labels"))
        counts = {name: int(str(labels.summary[name])) for name in ("num_rows", "num_accepted")}
        gauges = None
        if before:
            earlier = RoundLabels(self._store.below(f"round-{number - 1}/labels"))
            gauges = compare_rounds(pairs_of(earlier, labels))
        student = self._store.url(f"round-{number}/train/{MODEL_FILE}")
        if not counts["num_accepted"]:
            nothing: Decision = "stopped: no labels"
            return RoundResult(number, teacher, teacher, **counts, gauges=gauges, audit=None, finding=None,
                               decision=nothing)  # fmt: skip
        self._runner.do(student_phase(self._request, self._store, number, teacher))
        self._runner.do(audit_phase(self._settings.audit, self._store, number, teacher, student))
        audit = read_audit(self._store.below(f"round-{number}/audit"))
        _refuse_other_hands(audit, before, self._store)
        finding = audit.metrics[self._settings.audit.metric].finding
        decision = decide(finding, is_last=number == self._settings.max_rounds)
        return RoundResult(number, teacher, student, **counts, gauges=gauges, audit=audit, finding=finding,
                           decision=decision)  # fmt: skip

    def _write(self, story: Story) -> None:
        document = {
            "run": self._request.run.name,
            "first_teacher": story.teacher,
            "best": story.best,
            "rounds": [each.document() for each in story.rounds],
            "phases": [
                {"phase": done.phase.name, "command": command_line(done.phase), "seconds": round(done.seconds, 1)}
                for done in self._runner.finished[self._first_phase :]
            ],
        }
        self._store.write(STORY_FILE, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode(), durable=True)


def decide(finding: Finding, *, is_last: bool) -> Decision:
    """Go on only where the student has been shown to be better: rounds without a gain repeat their own mistakes."""
    if finding == "worse":
        return "stopped: harm"
    if finding == "no difference shown":
        return "stopped: no gain shown"
    return "last round" if is_last else "next round"


def teacher_phase(request: RoundsRequest, store: Store) -> Phase:
    """The supervised training."""
    arguments = _train_arguments(request, store.url("teacher"))
    return Phase("teacher", "train the teacher on annotated data", arguments, _of_training(request.run))


def label_phase(request: RoundsRequest, store: Store, number: int, teacher: str) -> Phase:
    """The labelling of a round."""
    out = store.url(f"round-{number}/labels")
    changes = (*request.changes, f"output_uri={json.dumps(out)}", f"teacher.checkpoint_uri={json.dumps(teacher)}")
    labelling = request.run.model_copy(update={"training": None, "self_training": None, "calibration": None})
    settings = {"run": fingerprint(labelling), "teacher": teacher}
    arguments = ("label", request.run_file, *_sets(changes), *request.label_options)
    return Phase(f"round-{number}/label", "label the videos", arguments, settings)


def student_phase(request: RoundsRequest, store: Store, number: int, teacher: str) -> Phase:
    """The training of a round's student."""
    labels = store.url(f"round-{number}/labels")
    changes = [f"training.labels_uri={json.dumps(labels)}"]
    settings = _of_training(request.run) | {"labels": labels}
    if _settings_of(request.run).starts_from == "teacher":
        settings["starts_from"] = teacher
        changes += [f"training.init_uri={json.dumps(teacher)}", "training.init_parts=all"]
    arguments = _train_arguments(request, store.url(f"round-{number}/train"), changes)
    return Phase(f"round-{number}/train", "train the student on the union", arguments, settings)


def audit_phase(audit: AuditConfig, store: Store, number: int, teacher: str, student: str) -> Phase:
    """The audit of a round."""
    optional = {"--format": audit.format, "--split": audit.split, "--samples": audit.max_samples}
    arguments = [
        *("evaluate", "--model", student, "--against", teacher, "--data", audit.uri, "--groups", audit.groups),
        *("--out", store.url(f"round-{number}/audit")),
    ]
    for name, value in optional.items():
        arguments += [] if value is None else [name, str(value)]
    return Phase(f"round-{number}/audit", "compare student and teacher on the audit set", tuple(arguments))


def _train_arguments(request: RoundsRequest, out: str, changes: Sequence[str] = ()) -> tuple[str, ...]:
    return (
        *("train", "--config", request.run_file, "--out", out, "--resume"),
        *_sets((*request.changes, *changes)),
        *request.train_options,
    )


def _sets(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def _of_training(run: RunConfig) -> dict[str, JsonValue]:
    """What decides a training, but for its labels."""
    assert run.training is not None
    return {"training": fingerprint(run.training), "hand": fingerprint(run.hand), "seed": run.seed}


def _settings_of(run: RunConfig) -> SelfTraining:
    missing = [name for name in ("training", "self_training") if getattr(run, name) is None]
    if run.self_training is None or missing:
        fix = "Add it: see jobs/self_train.yaml."
        what = f"run {run.name}"
        raise ConfigError(describe(what=what, expected=f"a section {' and '.join(missing)}", found="none", fix=fix))
    assert run.training is not None
    if run.training.labels_uri is not None:
        fix = "Leave it out: each round trains on its own labels."
        raise ConfigError(
            describe(what="training.labels_uri", expected="null", found=repr(run.training.labels_uri), fix=fix)
        )
    return run.self_training


def _refuse_other_hands(audit: Audit, before: Sequence[RoundResult], store: Store) -> None:
    """The audit set is frozen: students of different rounds are compared on the same hands."""
    first = next((each.audit for each in before if each.audit is not None), None)
    if first is not None and first.hands_sha256 != audit.hands_sha256:
        expected, found = f"the {first.num_hands} hands of the first round", f"{audit.num_hands} hands, or others"
        fix = "Restore the audit set, or start anew in another folder."
        raise ContractError(describe(what=f"audits in {store.uri}", expected=expected, found=found, fix=fix))
