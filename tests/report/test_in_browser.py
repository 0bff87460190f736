"""The page in a real Chromium: no complaint, pictures show, filters and keys work, it fits a desk and a pocket."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import Browser, needs_browser, open_browser
from report_scenes import HOSTILE_NAMES, facts_of, given_up, rows_of

from hoiray.report.gallery import Pictures
from hoiray.report.graphics import Measured, intervals
from hoiray.report.html_report import write_report
from hoiray.report.label_report import Shown, build_label_report
from hoiray.report.lots import draw_labels_by_lot
from hoiray.report.sections import Column, Figure, Interval, Prose, Section, Table
from hoiray.report.timelines import lay_out_timelines

SIZES = {"desk": (1440, 1000), "phone": (390, 844)}
CASES = pytest.mark.parametrize("kind", ["desk, calibrated", "phone, not calibrated"], scope="module")
pytestmark = [needs_browser, CASES]
TAB, ESCAPE, ENTER, RIGHT = "\ue004", "\ue00c", "\ue007", "\ue014"


def picture(shade: int) -> str:
    data = cv2.imencode(".jpg", np.full((64, 64, 3), shade, np.uint8))[1]
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


@pytest.fixture(scope="module")
def page(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of six videos with hostile names, with a section of somebody else's."""
    rows = rows_of(HOSTILE_NAMES, 12)
    if kind.endswith(", calibrated"):
        rows = rows_of(HOSTILE_NAMES, 12, confidence=np.linspace(0, 1, len(rows), dtype=np.float32))
    chosen = draw_labels_by_lot(rows, 10, 14, seed=0)
    of = {shade: {int(row): picture(shade) for row in range(len(rows))} for shade in (80, 160, 240)}
    shown = Shown(
        chosen,
        {int(row): {"num_members": 8} for row in chosen},
        lay_out_timelines(rows, chosen),
        Pictures(close_ups=of[80], bare=of[160], stills=of[240]),
    )
    both = ((Interval(9.8, 9.1, 10.5), "mute", "teacher"), (Interval(8.9, 8.2, 9.7), "accent", "student"))
    columns = [Column(title, "mm", 1) for title in ("teacher", "student", "difference", "constant hand")]
    extra = Section(
        "Teacher against student",
        [
            Prose("The student was trained on what its teacher labelled."),
            Table("Error.", columns, [("PA-MPJPE", [it for it, _, _ in both] + [Interval(-0.9, -1.6, -0.1), 18.2])]),
            Figure("Lower is better.", intervals([Measured("PA-MPJPE", both)], unit="mm")),
        ],
    )
    facts = facts_of(rows, name=HOSTILE_NAMES[1], num_dead=1, given_up=[given_up(HOSTILE_NAMES[0])])
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(build_label_report(facts, rows, shown, [extra]), str(path))
    return path


@pytest.fixture(scope="module")
def browser(kind: str) -> Iterator[Browser]:
    device = kind.partition(",")[0]
    width, height = SIZES[device]
    with open_browser(width, height, is_phone=device == "phone", pixel_ratio=2.0) as window:
        yield window


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def shown_cards(browser: Browser) -> list[dict[str, str]]:
    """What is said of each card that is to be seen."""
    script = "return [...document.querySelectorAll('.card')].filter(it => it.offsetParent).map(it => ({...it.dataset}))"
    found: list[dict[str, str]] = browser.run(script)
    return found


def wait_for(browser: Browser, script: str) -> None:
    """Wait until a script returns something true."""
    for _ in range(100):
        if browser.run(script):
            return
        time.sleep(0.1)
    raise AssertionError(f"it never came: {script}")


def choose(browser: Browser, control: str, value: str) -> None:
    script = """
    const it = document.getElementById(arguments[0]);
    it.value = arguments[1];
    it.dispatchEvent(new Event(it.type === 'range' ? 'input' : 'change', {bubbles: true}));
    """
    browser.run(script, control, value)


def overflow(browser: Browser, element: str = "document.documentElement") -> int:
    found: int = browser.run(f"return {element}.scrollWidth - {element}.clientWidth")
    return found


def test_it_loads_without_a_complaint_and_hostile_names_stay_text(opened: Browser) -> None:
    assert opened.complaints() == []
    assert opened.run("return window.broken === undefined")
    assert opened.run("return document.title").startswith("Labels of </script>")
    assert opened.run("return document.querySelectorAll('section').length") == 9
    options = opened.run("return [...document.querySelectorAll('#by-video option')].map(it => it.textContent)")
    assert options[1:] == sorted(HOSTILE_NAMES)


def test_every_picture_shows(opened: Browser) -> None:
    script = """
    const pictures = [...document.querySelectorAll('img')].filter(it => it.hasAttribute('src'));
    return [pictures.length, pictures.filter(it => it.complete && it.naturalWidth === 64).length];
    """
    count, good = opened.run(script)
    assert count == good >= 48


def test_nothing_has_to_be_scrolled_sideways(opened: Browser) -> None:
    assert overflow(opened) == 0
    opened.run("document.querySelector('details').open = true")
    assert overflow(opened) == 0
    opened.run("document.querySelector('.picture').click()")
    assert overflow(opened, "document.getElementById('detail')") == 0


def test_what_is_chosen_is_what_is_seen(opened: Browser) -> None:
    assert len(shown_cards(opened)) == 24
    choose(opened, "by-verdict", "refused")
    assert {card["verdict"] for card in shown_cards(opened)} == {"refused"}
    choose(opened, "by-reason", "reprojection")
    cards = shown_cards(opened)
    assert 0 < len(cards) < 14
    assert all("reprojection" in card["reasons"].split() for card in cards)
    choose(opened, "by-video", "2")
    assert {card["video"] for card in shown_cards(opened)} <= {"2"}
    said = opened.run("return document.getElementById('num-shown').textContent")
    assert said == f"{len(shown_cards(opened))} of 24 pictures"
    opened.run("document.getElementById('show-all').click()")
    assert len(shown_cards(opened)) == 24


def test_confidence_filters_where_there_is_some_and_is_called_uncalibrated_where_there_is_none(
    opened: Browser, page: Path
) -> None:
    if "not calibrated" in page.read_text():
        assert opened.run("return document.getElementById('by-confidence').disabled")
        return
    choose(opened, "by-confidence", "0.5")
    cards = shown_cards(opened)
    assert 0 < len(cards) < 24
    assert all(float(card["confidence"]) >= 0.5 for card in cards)


def test_the_mesh_can_be_taken_away(opened: Browser) -> None:
    script = "return [...document.querySelectorAll('.card img')].filter(it => it.offsetParent).map(it => it.className)"
    assert set(opened.run(script)) == {"mesh"}
    opened.run("document.getElementById('with-mesh').click()")
    assert set(opened.run(script)) == {"bare"}


def test_a_label_opens_closes_and_leads_to_its_time_line_by_keys_alone(opened: Browser) -> None:
    opened.run("document.querySelectorAll('.picture')[1].focus()")
    opened.press(ENTER)
    assert opened.run("return document.getElementById('detail').open")
    first = opened.run("return document.getElementById('detail-title').textContent")
    opened.press(RIGHT)
    assert opened.run("return document.getElementById('detail-title').textContent") != first
    rows = opened.run("return [...document.querySelectorAll('#detail-rows tr')].map(it => it.innerText)")
    assert any("at least 0.6" in row for row in rows)
    assert len(rows) >= 20
    opened.press(ESCAPE)
    assert not opened.run("return document.getElementById('detail').open")
    # the browser closes a dialog at once and tells the page a moment later
    wait_for(
        opened, "return document.activeElement === document.querySelectorAll('.card')[2].querySelector('.picture')"
    )
    opened.press(ENTER)
    opened.run("document.getElementById('detail-time').focus()")
    opened.press(ENTER)
    assert opened.run("return document.activeElement.id") == "timeline-slider"
    card: dict[str, str] = opened.run("return {...document.querySelectorAll('.card')[2].dataset}")
    assert opened.run("return document.getElementById('timeline-video').value") == card["video"]


def test_a_time_line_says_why_at_every_frame(opened: Browser) -> None:
    charts = opened.run("return document.querySelectorAll('#timeline-charts svg').length")
    assert charts >= 8
    choose(opened, "timeline-video", "0")
    opened.run("document.getElementById('timeline-slider').focus()")
    words: list[Any] = []
    for _ in range(4):
        words.append(opened.run("return document.getElementById('timeline-words').textContent"))
        opened.press(RIGHT)
    assert [text.split(":")[0] for text in words] == ["Frame 0", "Frame 1", "Frame 2", "Frame 3"]
    assert ["accepted" in text for text in words] == [True, False, True, False]
    assert "mesh does not fill its box" in words[1]
    assert opened.run("return document.querySelectorAll('#timeline-strip button').length") == 8
    assert overflow(opened) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_readable_in_light_and_dark(opened: Browser, scheme: str) -> None:
    """The contrast that WCAG 2.2 asks for, 4.5 to 1, of every text that is to be seen."""
    opened.prefer(scheme)
    found = opened.run(CONTRASTS)
    assert len(found) > 100
    assert min(found, key=lambda one: float(one[0]))[0] >= 4.5, sorted(found)[:3]
    is_dark = opened.run("return getComputedStyle(document.body).backgroundColor") != "rgb(246, 247, 248)"
    assert is_dark == (scheme == "dark")


def test_the_page_is_turned_dark_by_hand(opened: Browser) -> None:
    opened.prefer("light")
    background = "return getComputedStyle(document.body).backgroundColor"
    before = opened.run(background)
    opened.run("document.getElementById('theme').click()")
    assert opened.run(background) != before
    opened.run("document.getElementById('theme').click()")
    assert opened.run(background) == before


CONTRASTS = """
const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (node) => {
  for (let it = node; it; it = it.parentElement) {
    const [r, g, b, alpha] = numbers(getComputedStyle(it).backgroundColor);
    if (alpha === undefined || alpha > 0) return [r, g, b];
  }
  return [255, 255, 255];
};
const found = [];
for (const node of document.body.querySelectorAll('*')) {
  const own = [...node.childNodes].some((it) => it.nodeType === 3 && it.textContent.trim());
  if (!own || node.disabled || ['SCRIPT', 'NOSCRIPT', 'OPTION'].includes(node.tagName)) continue;
  if (node.closest('noscript') || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const ink = node instanceof SVGElement ? style.fill : style.color;
  const pair = [light(numbers(ink)), light(behind(node))].sort((a, b) => b - a);
  const name = node.tagName + '.' + node.getAttribute('class') + ': ' + node.textContent.slice(0, 40);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), name]);
}
return found;
"""
