"""`hoiray report`: a run as one page for people, with pictures, which needs no server and no network."""

import typer

from hoiray.errors import ConfigError, describe

SUFFIX = ".html"


def write_run_report(
    run: str,
    plan: str | None,
    out: str,
    *,
    judge_id: str | None,
    num_pictures: int,
    seed: int,
    truth: str | None = None,
) -> int:
    """Write the report of a run and say where it is; return the exit status.

    Args:
        run: the run's folder.
        plan: where its plan is; None for `plan` in it.
        out: the file, local or on S3.
        judge_id: which labels; None for the only ones.
        num_pictures: large pictures of labels.
        seed: of everything drawn by lot.
        truth: root of a set with the truth of these videos; None without.

    Raises:
        ConfigError: the file is no page, or there are labels of several judge_ids, and none is named.
        InputError: there are no labels, or the file cannot be written.
        ContractError: something in the run is damaged.
    """
    if not out.endswith(SUFFIX):
        fix = f"Name a file that ends in {SUFFIX}."
        raise ConfigError(describe(what="--out", expected=f"a name with {SUFFIX}", found=out, fix=fix))
    from hoiray.cli.run_folder import open_run
    from hoiray.report.html_report import write_report
    from hoiray.stages.label_report import ReportRequest, make_label_report

    folder = open_run(run, plan)
    page = make_label_report(folder.store, folder.plan, ReportRequest(judge_id, num_pictures, seed, truth_uri=truth))
    num_bytes = write_report(page, out)
    typer.echo(f"{page.title}: {page.subtitle}")
    typer.echo(f"report: {out} ({num_bytes / 1e6:.1f} MB); open it in a browser")
    return 0
