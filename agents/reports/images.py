"""Runs of image models: samples, losses, measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.reports import pictures, plots
from agents.reports.curves import curves
from agents.reports.markup import Content, figure, missing, table, tag
from agents.reports.reading import Part, RunFacts, number, numbers, within
from rollouts.console import command

LOWER, HIGHER, NEAR = "lower is better", "higher is better", "near the real images' is best"
#: Measures of ``evaluate-images``, with what they say.
MEASURES = {
    "frechet": f"distance between generated and real pictures, as Gaussians in the features of a network; {LOWER}",
    "frechet_of_infinitely_many": f"the same, extrapolated to infinitely many samples; {LOWER}",
    "kernel": f"distance in the same features without the assumption of Gaussians; {LOWER}, about 0 for real ones",
    "precision": f"share of the generated pictures that look like real ones; {HIGHER}",
    "recall": f"share of the real pictures that the model could generate; {HIGHER}",
    "nearest_training_image": "distance to the closest training picture, 1 for held-out ones; 0 is learned by heart",
    "classifier_score": f"how certain a classifier is of single samples, and how varied they are; {NEAR}",
    "class_kl": f"how unlike the data's the shares of the classes are; {LOWER}",
    "label_accuracy": f"share of the samples that a classifier takes for the class of their label; {HIGHER}",
    "elbo": f"a lower bound of the log likelihood, in nats; {HIGHER}",
    "iwae": f"a tighter one; {HIGHER}",
    "earth_movers": f"how far points have to be moved to become real ones; {LOWER}",
    "mmd": f"distance of the two clouds of points; {LOWER}",
    "modes": f"how many of the clusters were found; {HIGHER}",
    "high_quality": f"share of the points that lie in a cluster; {HIGHER}",
    "squared_error": f"of the copies, summed over the picture; {LOWER}",
    "active_units": "numbers of z that carry something",
}


def name_of(part: Part) -> str:
    """Which model it is."""
    return str(within(part.manifest, "inputs", "model") or "image model")


def section(run: RunFacts) -> list[Content]:
    """What an image model makes, and how it learned."""
    part = run.newest("images")
    if part is None:
        return []
    by_name = curves(run, "images")
    samples = pictures.stored_figure(
        "Samples",
        part.stage.picture("samples"),
        "Samples of the model",
        "What the model makes, not chosen by hand. For a model of classes each column is a class; an autoencoder shows "
        "its data above their copies.",
    ) or missing(
        "There are no samples yet.", command("train-images", "--run", run.called) if not part.complete else None
    )
    others = [path for path in sorted(run.path.glob("*.png")) if path.name != "samples.png"][:6]
    more = [
        figure(path.stem.replace("-", " "), picture, "A picture that lies in the run.")
        for path in others
        if (picture := pictures.stored(path, path.stem)) is not None
    ]
    figures = [plots.plot(by_name[name]) for name in plots.ordered(list(by_name))]
    return [
        samples,
        tag("div", more, class_="grid") if more else None,
        tag("h3", "While it learned", class_="above") if figures else None,
        plots.chooser() if figures else None,
        tag("div", figures, class_="grid") if figures else missing("There is no log of its learning."),
        tag("h3", "Measured", class_="above"),
        *_measures(run),
    ]


def _measures(run: RunFacts) -> list[Content]:
    report = run.evaluations.get(0, {})
    measures = within(report, "measures")
    rows = list(_rows(measures)) if isinstance(measures, Mapping) else []
    if not rows:
        return [missing("It was not measured yet.", command("evaluate-images", "--run", run.called))]
    floor = any(row[2] != "–" for row in rows)
    head = ("Measure", "This model", *(("Real images",) if floor else ()), "What it says")
    shown = [row if floor else (row[0], row[1], row[3]) for row in rows]
    return [table(head, shown, "Measures of the model")]


def _rows(measures: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, value in measures.items():
        figure_, floor = number(value), number(within(measures, "floor", name))
        if figure_ is not None:
            shown = f"{floor:.4g}" if floor is not None else "–"
            rows.append((name.replace("_", " "), f"{figure_:.4g}", shown, MEASURES.get(name, "")))
        elif values := numbers(value):
            rows.append(
                (name.replace("_", " "), ", ".join(f"{one:.3g}" for one in values), "–", MEASURES.get(name, ""))
            )
        elif isinstance(value, str):
            rows.append((name.replace("_", " "), value, "–", ""))
    return rows


def facts(run: RunFacts) -> list[tuple[str, Content]]:
    """The model in a few lines."""
    part = run.newest("images")
    if part is None:
        return []
    shape, data = part.manifest.get("architecture") or {}, part.manifest.get("data") or {}
    size, channels = number(shape.get("size")), number(shape.get("channels"))
    return [
        ("model", name_of(part)),
        ("data", str(part.config.get("data", "not said"))),
        *([("pictures", f"{size:.0f} × {size:.0f} pixels, {channels:.0f} channels")] if size and channels else []),
        *([("classes", f"{number(shape.get('classes')):.0f}")] if number(shape.get("classes")) else []),
        *[(f"data: {name}", str(value)) for name, value in data.items() if isinstance(value, str | int | float)],
    ]


def sharpened(run: RunFacts) -> list[Content]:
    """V that was trained on against a critic."""
    part = run.newest("vae-gan")
    if part is None:
        return []
    by_name = curves(run, "vae-gan")
    picture = pictures.stored_figure(
        "Before and after",
        part.stage.picture("reconstructions"),
        "Originals, before, after",
        "Recorded pictures, V's copies before, and its copies now.",
    )
    return [tag("div", picture, [plots.plot(by_name[name]) for name in plots.ordered(list(by_name))], class_="grid")]
