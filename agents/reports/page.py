"""The page as a whole: its sections, what stands above them, and the one file that holds everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agents.reports import card, comparing, curves, images, learned, making, scores
from agents.reports.markup import Content, Markup, joined, tag
from agents.reports.reading import RunFacts, read_run
from agents.reports.studio import Studio, require_time
from rollouts.runs.files import atomic_path
from worldmodels import __version__

HERE = Path(__file__).parent
SECONDS = 20.0  #: for pictures that are computed, per run
SUN = Markup(
    '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="4.5"></circle><path d="M12 2v2.5M12 19.5V22'
    'M4.9 4.9l1.8 1.8M17.3 17.3l1.8 1.8M2 12h2.5M19.5 12H22M4.9 19.1l1.8-1.8M17.3 6.7l1.8-1.8"></path></svg>'
)
Section = tuple[str, str, list[Content]]


def write_report(names: Sequence[str | Path], out: Path, seconds: float = SECONDS) -> Path:
    """Write the report of some runs as one HTML file; nothing else is written, and nothing in the runs.

    Args:
        names: run directories, or ``pretrained/NAME``.
        seconds: for pictures that are computed from weights and episodes, per run; 0 computes none.

    Raises:
        UserError: there is no such run.
    """
    require_time(seconds)
    runs = [read_run(name) for name in dict.fromkeys(names)]
    text = report(runs, seconds)
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def write_csv(names: Sequence[str | Path], out: Path) -> Path:
    """Write every point of every curve of some runs as one table.

    Raises:
        UserError: there is no such run.
    """
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(curves.CSV_HEAD)
    for run in [read_run(name) for name in dict.fromkeys(names)]:
        writer.writerows(curves.rows(run))
    with atomic_path(out) as temporary:
        temporary.write_text(content.getvalue(), encoding="utf-8")
    return out


def report(runs: Sequence[RunFacts], seconds: float = SECONDS) -> str:
    """The page of one run, or of several side by side."""
    if len(runs) == 1:
        run = runs[0]
        parts = sections(run, seconds)
        return _page(run.name, tag("h1", run.name), _sentence(run), [_tiles(run), _faults(run)], parts, _foot(runs))
    title = " and ".join(run.name for run in runs) if len(runs) == 2 else f"{len(runs)} runs"
    compared: list[Section] = [
        ("overview", "Side by side", comparing.overview(runs)),
        ("scores", "Scores", scores.compared(runs)),
        ("differences", "What differs", comparing.differences(runs)),
        ("curves", "Curves", comparing.learning(runs)),
        ("pictures", "Pictures", comparing.pictures_of(runs)),
    ]
    compared.append(("runs", "Each by itself", [_folded(number, run, seconds) for number, run in enumerate(runs, 1)]))
    names = f"{', '.join(run.name for run in runs[:-1])} and {runs[-1].name}, side by side."
    return _page(title, tag("h1", title), names, [], compared, _foot(runs))


def _folded(number: int, run: RunFacts, seconds: float) -> Markup:
    """Everything of one of several runs."""
    tiles = _tiles(run)
    body = [_section(f"run-{number}-{name}", head, content) for name, head, content in sections(run, seconds)]
    return tag("details", tag("summary", run.name), tag("div", tiles, _faults(run), body), class_="run")


def sections(run: RunFacts, seconds: float) -> list[Section]:
    """What there is to say of one run: of an agent, of an image model, or of both."""
    studio, parts = Studio(run, seconds), list[Section]()
    agent = any(run.of(name) for name in ("rollouts", "vae", "mdnrnn", "controller"))
    if run.of("images"):
        parts.append(("images", "What it makes", images.section(run)))
    if agent:
        parts += [
            ("v", "V: what it sees", learned.seeing(run, studio)),
            ("m", "M: what it expects", learned.foreseeing(run, studio)),
            ("c", "C: how it acts", learned.acting(run)),
            ("score", "Score", scores.section(run)),
        ]
    if run.of("vae-gan"):
        parts.append(("sharpened", "V, sharpened", images.sharpened(run)))
    parts.append(("made", "How it was made", [*making.unfinished(run), *making.section(run)]))
    if agent:
        parts.append(("card", "The agent in short", card.section(run)))
    elif facts := images.facts(run):
        rows = [[tag("dt", name), tag("dd", value)] for name, value in facts]
        parts.append(("card", "The model in short", [tag("dl", rows, class_="facts")]))
    return parts


def _sentence(run: RunFacts) -> Content:
    world, part = making.world_of(run), run.newest("images")
    rounds = f", in {len(run.rounds)} rounds" if len(run.rounds) > 1 else ""
    preset = f", begun with the preset {run.preset}" if run.preset else ""
    if world is None and part is not None:
        data = part.config.get("data", "pictures")
        return f"An image model ({images.name_of(part)}) that was trained on {data}{preset}."
    return f"An agent for {world or 'an unknown world'}: it learned to see, to foresee and to act{rounds}{preset}."


def _tiles(run: RunFacts) -> Markup:
    score = scores.tile_of(run)
    return tag("div", making.tile(*score, main=True) if score else None, making.tiles(run), class_="tiles")


def _faults(run: RunFacts) -> Markup:
    """What could not be read; asked for last, once everything was tried."""
    return joined(tag("p", fault, class_="missing warning") for fault in run.faults)


def _section(name: str, head: str, body: Content) -> Markup:
    return tag("section", tag("h2", head), body, id=name)


def _page(title: str, head: Markup, sentence: Content, top: Content, parts: Sequence[Section], foot: Content) -> str:
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    links = [tag("a", text.partition(":")[0], href=f"#{name}") for name, text, _ in parts]
    page = tag(
        "html",
        tag(
            "head",
            Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", f"{title}: report"),
            Markup('<link rel="icon" href="data:,">'),
            tag("style", Markup(style)),
        ),
        tag(
            "body",
            tag(
                "header",
                tag("strong", title),
                tag("nav", links, aria_label="Sections"),
                tag("button", SUN, id="theme", type="button", aria_label="Light or dark", title="Light or dark"),
            ),
            tag(
                "main",
                head,
                tag("p", sentence, class_="lead"),
                top,
                [_section(name, heading, body) for name, heading, body in parts],
                tag("footer", foot),
            ),
            tag("script", Markup(script)),
            data_axis="steps",
        ),
        lang="en",
    )
    return f"<!doctype html>\n{joined(page)}\n"


def _foot(runs: Sequence[RunFacts]) -> Content:
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    where = ", ".join(run.called for run in runs)
    return f"Written {now} by worldmodels {__version__} from {where}. Long curves are averages over neighbours."
