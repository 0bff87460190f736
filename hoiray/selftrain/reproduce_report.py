"""The outcome of an experiment as Markdown in the paper's own layout, and as plots."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from hoiray.evaluation.bootstrap import Interval
from hoiray.selftrain.arms import ARMS
from hoiray.selftrain.paper_tables import MEAN_ADD, TABLES, WILD_JOINTS, Claim, Measure, PaperTable
from hoiray.selftrain.reproduce import Plan, Results, finding_of, t_interval
from hoiray.selftrain.selections import ERRORS

PLOT_WIDTH: Final = 760
ROW_PX: Final = 30
PANEL_PX: Final = 280
LABEL_PX: Final = 390
NUMBERS_PX: Final = 620
"""Of a plot of claims: where the rows' labels end, and where their numbers begin."""


def markdown(results: Results, plan: Plan, header: Mapping[str, Any]) -> str:
    """Write all tables.

    Args:
        results: of the arms.
        plan: which tables and seeds.
        header: what was run, where and with what.
    """
    lines = ["# The paper's tables on the synthetic twin", ""]
    lines += [f"- **{name}**: {value}" for name, value in header.items()]
    num_claims = sum(len(TABLES[name].claims) for name in plan.tables)
    lines += [
        "",
        "Each cell: the mean over seeds with its standard deviation, and the paper's number on real data in brackets"
        " where it prints one. Differences below are paired by seed, with Student's t 95 % interval; a claim holds only"
        " where the interval excludes zero. A claim with a number under `paper` is the paper's own, with its difference"
        " there; of the others the paper prints no number, or they are ours. If there were nothing in any of the"
        f" {num_claims}, some {num_claims / 40:.1f} of them would hold by chance and as many be the opposite; several"
        " say much the same. Sizes are not comparable with the paper's, signs are.",
    ]
    for name in plan.tables:
        lines += _table(results, TABLES[name], f"{name}.svg")
    lines += _labels(results)
    return "\n".join(lines) + "\n"


def _table(results: Results, table: PaperTable, picture: str) -> list[str]:
    lines = ["", f"## {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines.append(_row(["", "seeds", *(measure.title for measure in table.measures)]))
    lines.append(_row(["---", "---:", *("---:" for _ in table.measures)]))
    for arm in table.arms:
        numbers = table.numbers.get(arm, ())
        num_seeds = len(results.values.get(arm, {}))
        cells = [
            _cell(results.of(arm, measure), measure, _at(numbers, n), num_seeds)
            for n, measure in enumerate(table.measures)
        ]
        lines.append(_row([ARMS[arm].says, str(num_seeds), *cells]))
    lines += ["", _row(["claim", "measure", "difference here", "paper", "finding"])]
    lines.append(_row(["---", "---", "---:", "---:", "---"]))
    for claim in table.claims:
        difference, _ = results.difference(claim)
        paper = "-" if claim.paper is None else f"{claim.paper:+.1f}"
        shown = shown_interval(difference, claim.measure.decimals)
        lines.append(_row([claim.says, claim.measure.title, shown, paper, finding_of(claim, difference)]))
    return [*lines, "", f"![{table.title}: paired differences with their intervals]({picture})"]


def _labels(results: Results) -> list[str]:
    """Say what each selection held, by the truth."""
    lines = [
        "",
        "## The labels",
        "",
        "What each choice held, means over seeds; the truth was unknown to all but the oracle.",
    ]
    lines += [
        "",
        _row(["teacher", "choice", "labels", "PA-MPJPE, mm", "MPJPE, mm", "side right, %"]),
        _row(["---", "---", *["---:"] * 4]),
    ]
    for teacher, seeds in results.labels.items():
        names = next(iter(seeds.values()), {})
        for name in names:
            count, *errors, side_right = (
                float(
                    np.mean(
                        [found[name][key] for found in seeds.values() if found[name][key] is not None] or [math.nan]
                    )
                )
                for key in ("num_labels", *ERRORS, "side_right")
            )
            shown = (f"{count:.0f}", *(f"{error:.1f}" for error in errors), f"{100 * side_right:.0f}")
            lines.append(_row([ARMS[teacher].says, name, *shown]))
    return lines


def claims_plot(results: Results, table: PaperTable) -> str:
    """Draw each claim's difference with its interval about zero, as SVG; favourable differences lie to the right.

    Each row has a scale of its own, since millimetres and percent have none in common; its numbers stand beside it.
    """
    height = ROW_PX * (len(table.claims) + 1) + 6
    zero_px, reach_px = (LABEL_PX + NUMBERS_PX) / 2, (NUMBERS_PX - LABEL_PX) / 2
    parts = [
        f'<line x1="{zero_px:.1f}" x2="{zero_px:.1f}" y1="22" y2="{height - 8}" stroke="#888"/>',
        f'<text x="{NUMBERS_PX}" y="14" text-anchor="end" font-size="12">as claimed &#8594;</text>',
    ]
    for number, claim in enumerate(table.claims):
        interval, _ = results.difference(claim)
        y = ROW_PX * (number + 1) + 6
        parts.append(f'<text x="4" y="{y + 4}" font-size="12">{escape(_short(claim))}</text>')
        low, value, high = _ends(claim, interval)
        if not math.isfinite(value):
            continue
        reach = max([abs(end) for end in (low, value, high) if math.isfinite(end)]) or 1.0
        x = _Scale(0.0, reach, zero_px, zero_px + 0.9 * reach_px)
        colour = {"holds": "#00805c", "the opposite": "#c4460a"}.get(finding_of(claim, interval), "#666")
        if math.isfinite(low):
            parts.append(
                f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            )
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        shown = shown_interval(interval, claim.measure.decimals)
        parts.append(f'<text x="{NUMBERS_PX + 10}" y="{y + 4}" font-size="12" fill="{colour}">{shown}</text>')
    return _svg(height, parts, f"{table.title}: differences in the unit of each measure")


def fractions_plot(results: Results) -> str:
    """Draw the object's accuracy over the share of the labels, as the paper's Figure 9, and the hand's on videos."""
    panels = (
        (MEAN_ADD, "ADD-0.1D, mean of three objects, %"),
        (WILD_JOINTS, "PA-MPJPE on videos like the labelled, mm (less is better)"),
    )
    parts: list[str] = []
    for number, (measure, title) in enumerate(panels):
        drawn = "".join(_fractions_panel(results, measure, title))
        parts.append(f'<g transform="translate(0 {number * PANEL_PX})">{drawn}</g>')
    end = len(panels) * PANEL_PX
    parts.append(
        f'<text x="{PLOT_WIDTH - 20}" y="{end}" text-anchor="end" font-size="12">share of the accepted labels</text>'
    )
    return _svg(end + 8, parts, "Figure 9 on the twin")


def _fractions_panel(results: Results, measure: Measure, title: str) -> list[str]:
    places = {0: "sup_object", 20: "part_20", 40: "part_40", 60: "part_60", 80: "part_80", 100: "semi_object"}
    points = [(share, t_interval(list(results.of(arm, measure).values()))) for share, arm in places.items()]
    known = [(share, it) for share, it in points if math.isfinite(it.value)]
    ends = [end for _, it in known for end in (it.low, it.high, it.value) if math.isfinite(end)]
    top = max([*ends, 1.0])
    bottom = min([*ends, top]) if measure.is_error else 0.0  # a share begins at none, an error has no natural end
    margin = 0.1 * (top - bottom) or 1.0
    x, y = _Scale(0.0, 100.0, 60, PLOT_WIDTH - 40), _Scale(bottom, top + margin, 240, 24)
    parts = [f'<polyline fill="none" stroke="#2060a0" stroke-width="2" points="{_points(known, x, y)}"/>']
    for share, interval in known:
        if math.isfinite(interval.low):
            low_high = f'y1="{y(max(interval.low, bottom)):.1f}" y2="{y(interval.high):.1f}"'
            parts.append(f'<line x1="{x(share):.1f}" x2="{x(share):.1f}" {low_high} stroke="#2060a0"/>')
        parts.append(f'<circle cx="{x(share):.1f}" cy="{y(interval.value):.1f}" r="4" fill="#2060a0"/>')
        parts.append(f'<text x="{x(share):.1f}" y="260" text-anchor="middle" font-size="11">{share} %</text>')
        value = f"{interval.value:.{measure.decimals}f}"
        parts.append(f'<text x="{x(share) + 7:.1f}" y="{y(interval.value) - 7:.1f}" font-size="11">{value}</text>')
    return [*parts, f'<text x="4" y="14" font-size="12">{escape(title)}</text>']


class _Scale:
    """From values to pixels."""

    def __init__(self, low: float, high: float, first_px: float, last_px: float) -> None:
        self._low, self._px_per_unit, self._first_px = low, (last_px - first_px) / (high - low), first_px

    def __call__(self, value: float) -> float:
        return self._first_px + (value - self._low) * self._px_per_unit


def _points(known: Sequence[tuple[int, Interval]], x: _Scale, y: _Scale) -> str:
    return " ".join(f"{x(share):.1f},{y(interval.value):.1f}" for share, interval in known)


def _ends(claim: Claim, interval: Interval) -> tuple[float, float, float]:
    """Turn a difference such that more is what is claimed."""
    if claim.measure.is_error:
        return -interval.high, -interval.value, -interval.low
    return interval.low, interval.value, interval.high


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PLOT_WIDTH}" height="{height}"'
        ' font-family="sans-serif" fill="#222">'
        f"<title>{escape(title)}</title>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _short(claim: Claim) -> str:
    text = f"{claim.says} ({claim.measure.title})"
    return text if len(text) <= 68 else f"{text[:67]}\u2026"


def _cell(values: Mapping[int, float], measure: Measure, paper: float | None, num_seeds: int) -> str:
    if not values:
        return "-"
    found = list(values.values())
    spread = f" \u00b1 {np.std(found, ddof=1):.{measure.decimals}f}" if len(found) > 1 else ""
    fewer = "" if len(found) == num_seeds else f", {len(found)} seeds"
    return f"{np.mean(found):.{measure.decimals}f}{spread}{fewer}" + ("" if paper is None else f" ({paper})")


def shown_interval(interval: Interval, decimals: int) -> str:
    """Write a difference with the ends of its interval; with one decimal more where an end would be shown as zero."""
    if math.isnan(interval.value):
        return "-"
    if any(end != 0.0 and float(f"{end:.{decimals}f}") == 0.0 for end in (interval.low, interval.high)):
        decimals += 1
    ends = "" if math.isnan(interval.low) else f" [{interval.low:+.{decimals}f}, {interval.high:+.{decimals}f}]"
    return f"{interval.value:+.{decimals}f}{ends}"


def _at(numbers: Sequence[float | None], index: int) -> float | None:
    return numbers[index] if index < len(numbers) else None


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
