"""HTML that cannot be broken into: whatever is no :class:`Markup` is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

VOID = ("br", "img", "link", "meta", "input")
SHORT = 22  #: letters up to which cells of a column are never broken


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | Markup | Iterable[Content] | None"


def tag(name: str, *content: Content, **attributes: str | int | float | bool | None) -> Markup:
    """An element: ``tag("p", "a < b", class_="lead") -> <p class="lead">a &lt; b</p>``.

    Attributes that are None or False are left out, those that are True have no value; ``_`` stands for ``-``.
    """
    words = [name]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
        if value is True:
            words.append(attribute)
        elif value is not None and value is not False:
            words.append(f'{attribute}="{html.escape(str(value))}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in VOID else f"{opened}{joined(content)}</{name}>")


def joined(content: Content) -> Markup:
    """Pieces one after the other, text among them escaped."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return Markup(html.escape(str(content)))
    return Markup("".join(joined(piece) for piece in content))


def table(head: Iterable[Content], rows: Iterable[Iterable[Content]], label: str, sortable: bool = False) -> Markup:
    """A table that scrolls in a box of its own; a column of numbers stands on the right.

    Args:
        label: what it is, for those who do not see it.
        sortable: whether a click on a column's head sorts by it.
    """
    body = [list(row) for row in rows]
    heads = list(head)
    numeric = [
        bool(body) and all(_is_number(row[column]) for row in body if column < len(row)) for column in range(len(heads))
    ]

    short = [
        max(len(_text(row[column])) for row in [heads, *body] if column < len(row)) < SHORT
        for column in range(len(heads))
    ]

    def cell(name: str, column: int, content: Content) -> Markup:
        shown: Content = content
        if name == "th" and sortable and content:
            shown = tag("button", content, type="button")
        return tag(
            name,
            shown,
            class_="number" if numeric[column] else "short" if short[column] else None,
            scope="col" if name == "th" else None,
        )

    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", [cell("th", column, content) for column, content in enumerate(heads)])),
            tag("tbody", [tag("tr", [cell("td", i, content) for i, content in enumerate(row)]) for row in body]),
            class_="sortable" if sortable else None,
        ),
        class_="table",
        role="region",
        aria_label=label,
        tabindex=0,
    )


def _text(content: Content) -> str:
    return str(content) if isinstance(content, str | int | float) else ""


def _is_number(content: Content) -> bool:
    if isinstance(content, int | float):
        return True
    text = str(content).strip().replace(",", "").replace("−", "-").rstrip("%")
    try:
        float(text or "0")
    except ValueError:
        return text in ("–", "-")
    return True


def figure(title: Content, picture: Content, caption: Content, wide: bool = False) -> Markup:
    """A chart or a picture under its title, above what it means."""
    return tag("figure", tag("h3", title), picture, tag("figcaption", caption), class_="wide" if wide else None)


def missing(sentence: str, command: str | None = None) -> Markup:
    """What is not there, and what makes it."""
    return tag("p", sentence, [" ", tag("code", command), " makes it."] if command else None, class_="missing")
