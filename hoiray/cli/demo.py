"""`hoiray demo`: the whole loop on the synthetic world, in one command that goes on where it stopped."""

import os
from typing import Final

import typer

from hoiray.cli.phases import working_in
from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store
from hoiray.report.html_report import write_report
from hoiray.selftrain.demo import SIZES, DemoRequest, run_demo
from hoiray.selftrain.demo_report import demo_page, summary_words, terminal_table
from hoiray.stages.label_report import ReportRequest, make_label_report
from hoiray.stages.plan import open_plan
from hoiray.stages.run_layout import PLAN_FOLDER

REPORT_FILE: Final = "demo.html"
TABLE_FILE: Final = "demo.md"


def demo(out: str, *, size: str, workers: int | None, uses_ray: bool) -> None:
    """Run the demo, show its table, and write its report.

    Args:
        out: a local folder.
        size: a key of :data:`hoiray.selftrain.demo.SIZES`.
        workers: processes of rendering and training; None for the cores of this machine, two at most.
        uses_ray: False does everything in one process after the other.

    Raises:
        ConfigError: the request cannot be met as asked, or a demo runs in the folder.
        PhaseFailedError: a command failed.
    """
    if size not in SIZES:
        expected = f"one of {', '.join(SIZES)}"
        raise ConfigError(describe(what="--size", expected=expected, found=repr(size), fix="Choose one."))
    store = Store.open(out)
    if not store.is_local:
        fix = "Name a folder of this machine; hoiray self-train works on S3."
        raise ConfigError(describe(what="--out", expected="a local folder", found=store.uri, fix=fix))
    num_workers = workers or min(2, len(os.sched_getaffinity(0)))
    request = DemoRequest(size, num_workers, uses_ray)
    with working_in(store) as runner:
        ended = run_demo(request, runner)
        table = "\n".join(terminal_table(ended))
        store.write(TABLE_FILE, f"{summary_words(ended)}\n\n{table}\n".encode())
        labels = store.below("round-1/labels")
        label_page = make_label_report(labels, open_plan(labels.below(PLAN_FOLDER)), ReportRequest())
        write_report(demo_page(ended, label_page), store.url(REPORT_FILE))
    typer.echo(f"\n{table}\n\n{summary_words(ended)}\n\nreport: {store.url(REPORT_FILE)}")
