"""`hoiray quota`: the accepted labels of a run, fewer where there are plenty, as a list to train on."""

import typer

from hoiray.cli.calibrate import show
from hoiray.errors import ConfigError, describe

SUFFIX = ".parquet"


def write_quota(run: str, out: str, *, judge_id: str | None, max_dropped: float, seed: int) -> int:
    """Choose labels, show what is kept of each kind of hand, and write the list.

    Args:
        run: the run's folder.
        out: the list to write (.parquet), local or on S3.
        judge_id: which labels; None for the only ones.
        max_dropped: share of the accepted labels that may be dropped.
        seed: of the lot.

    Raises:
        ConfigError: the list's name, or there are labels of several judge_ids and none is named.
        InputError: no label is accepted.
        ContractError: something in the run is damaged.
    """
    if not out.endswith(SUFFIX):
        fix = "Name a file that ends so."
        raise ConfigError(describe(what="--out", expected=f"a name with {SUFFIX}", found=out, fix=fix))
    from hoiray.io.parquet import parquet_bytes
    from hoiray.io.store import Store, open_uri
    from hoiray.stages.quota import choose_by_quota
    from hoiray.stages.report_rows import find_judge_id
    from hoiray.stages.run_layout import labels_area

    store = Store.open(run)
    area = labels_area(find_judge_id(store, judge_id))
    quota = choose_by_quota(store, area, max_dropped=max_dropped, seed=seed)
    target, key = open_uri(out)
    target.write(key, parquet_bytes(quota.keys))
    show([quota.table])
    typer.echo(f"{quota.keys.num_rows} of {quota.num_accepted} accepted labels: {out}")
    typer.echo(f"train on them with: --set training.pseudo_label_list_uri={out}")
    return 0
