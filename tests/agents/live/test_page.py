"""The page's files as they are, without a browser: names for controls, contrast, nothing that beats ``hidden``."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from agents.live.server import KINDS, PAGE

STYLES = {file.name: file.read_text() for file in PAGE.glob("*.css")}
SCRIPTS = {file.name: file.read_text() for file in PAGE.glob("*.js")}
SMALLEST_CONTRAST = 4.5  #: WCAG 2.1, 1.4.3, for text


class Elements(HTMLParser):
    """All elements with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def ids(self) -> list[str]:
        return [id for _, attributes in self.all if (id := attributes.get("id"))]


@pytest.fixture(scope="module")
def html() -> Elements:
    return Elements((PAGE / "index.html").read_text())


def colours(theme: str) -> dict[str, str]:
    """The custom properties of a theme that are colours."""
    head = {"dark": r":root \{", "light": r':root\[data-theme="light"\] \{'}[theme]
    block = re.search(head + r"(.*?)\}", STYLES["style.css"], re.S)
    assert block is not None
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block[1]))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_measured_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known nearly enough


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_all_that_lies_behind_it(theme: str):
    named = colours(theme)
    for text in ("text", "soft", "faint", "accent", "warm", "bad"):
        for ground in ("bg", "panel", "raised"):
            assert contrast(named[text], named[ground]) >= SMALLEST_CONTRAST, (text, ground)
    for kind in ("accent", "warm"):
        assert contrast(named[f"on-{kind}"], named[kind]) >= SMALLEST_CONTRAST, kind


def test_nothing_beats_hidden():
    important = [line for css in STYLES.values() for line in css.split("}") if "!important" in line]
    for rule in important:
        assert re.search(r"(display|animation|transition): none !important", rule), rule
    assert "[hidden] { display: none !important; }" in STYLES["style.css"]


def test_every_control_and_canvas_has_a_name(html: Elements):
    for tag, attributes in html.all:
        if tag in ("canvas", "select") or (tag == "input" and attributes.get("type") == "range"):
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true", attributes
        if tag == "canvas" and "aria-hidden" not in attributes:
            assert attributes.get("role") in ("img", "slider", "application"), attributes


def test_no_number_that_changes_with_every_picture_is_read_out(html: Elements):
    assert [attributes["id"] for tag, attributes in html.all if "aria-live" in attributes or tag == "output"] == []
    statuses = [attributes["id"] for _, attributes in html.all if attributes.get("role") == "status"]
    assert sorted(statuses, key=str) == ["fan-text", "note", "verdict"]  # what somebody has asked for
    assert all("output>" not in script for script in SCRIPTS.values())


def test_recording_shows_its_button_wherever_it_goes_on(html: Elements):
    record = next(attributes for _, attributes in html.all if attributes.get("id") == "record")
    assert set((record["data-in"] or "").split()) == {"real", "wake", "game", "ghost"}


def test_scripts_ask_for_elements_that_are_there_once(html: Elements):
    ids = html.ids()
    assert len(ids) == len(set(ids))
    for name, script in SCRIPTS.items():
        for element in re.findall(r'\$\("([\w-]+)"\)', script):
            assert element in ids or f'id: "{element}"' in script, (name, element)


def test_no_address_of_a_scene_scrolls_to_an_element(html: Elements):
    from agents.live.commands import SCENES

    assert not set(SCENES) & set(html.ids())


def test_every_scene_can_be_turned_to(html: Elements):
    from agents.live.commands import SCENES

    tabs = [attributes["data-go"] for _, attributes in html.all if "data-go" in attributes]
    assert sorted(tabs) == sorted(SCENES)  # type: ignore[type-var]
    for scene in SCENES:
        assert re.search(rf"^  {scene}: \{{", SCRIPTS["scenes.js"], re.M), scene


def test_every_file_is_of_a_kind_that_is_served():
    assert {file.suffix for file in PAGE.iterdir()} <= KINDS.keys()
