"""docs/images.md, made from evaluation files alone: every objective on the same data with the same budget."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollouts.console import duration
from worldmodels.generative.measures.metrics import PERFECT_HIGH_QUALITY

Row = Mapping[str, Any]
"""An evaluation file, or ``{"model": ..., "data": ..., "failed": reason}``."""
Column = tuple[str, Callable[[Mapping[str, Any]], str]]


def number(name: str, form: str = ".3g", times: float = 1.0, unit: str = "") -> Callable[[Mapping[str, Any]], str]:
    """A measure in this format, with its range over several trainings if there were several; or a dash."""

    def cell(measures: Mapping[str, Any]) -> str:
        if name not in measures:
            return "–"
        ends = measures.get("ranges", {}).get(name, [measures[name]] * 2)
        low, high = (format(times * value, form) for value in ends)
        middle = format(times * measures[name], form)
        return middle + (f" ({low} to {high})" if low != high else "") + unit

    return cell


def share(name: str) -> Callable[[Mapping[str, Any]], str]:
    """A measure in per cent, or a dash."""
    return number(name, ".1f", 100, " %")


def of_all(measures: Mapping[str, Any]) -> str:
    """Modes found, of how many."""
    return f"{number('modes', 'd', 1)(measures)} / {measures['of']}" if "modes" in measures else "–"


def combine(trainings: Sequence[Row]) -> Row:
    """Several trainings of one model as one row: medians (of an even number, the lower middle) and ranges."""
    done = [row for row in trainings if "failed" not in row]
    if not done:
        return trainings[0]
    names = [name for name, value in done[0]["measures"].items() if isinstance(value, int | float)]
    values = {name: sorted(row["measures"][name] for row in done) for name in names}
    return {
        **done[0],
        "measures": {
            **done[0]["measures"],
            **{name: statistics.median_low(measures) for name, measures in values.items()},
            "ranges": {name: [measures[0], measures[-1]] for name, measures in values.items()},
        },
        "training_seconds": statistics.median_low([row["training_seconds"] for row in done]),
        "trainings": len(trainings),
        "collapsed": len(trainings) - len(done),
    }


IMAGES: Sequence[Column] = (
    ("Fréchet ↓", number("frechet")),
    ("Fréchet of infinitely many ↓", number("frechet_of_infinitely_many")),
    ("kernel ×10³ ↓", number("kernel", ".3g", 1000)),
    ("precision ↑", share("precision")),
    ("recall ↑", share("recall")),
    ("classifier score ↑ (≤ 10)", number("classifier_score", ".2f")),
    ("KL(classes) ↓", number("class_kl", ".3f")),
    ("label accuracy ↑", share("label_accuracy")),
    ("nearest training image (1 = as real)", number("nearest_training_image", ".2f")),
)
RECONSTRUCTIONS: Sequence[Column] = (
    ("squared error / image ↓", number("squared_error", ".1f")),
    ("classifier of its own ↑", share("classifier_accuracy")),
    ("nats of its code in a sample ↑ (≤ 2.3)", number("code_information", ".2f")),
    ("ELBO of log p(x), nats ↑", number("elbo", ".1f")),
    ("IWAE-50, nats ↑", number("iwae_50", ".1f")),
    ("ELBO of log p(x given its class), nats ↑", number("conditional_elbo", ".1f")),
    ("bits per pixel ↓", number("bits_per_dimension", ".2f")),
    ("cross-entropy ELBO (Bernoulli of grey pixels: no likelihood) ↑", number("cross_entropy_elbo", ".1f")),
    ("the same, given its class ↑", number("conditional_cross_entropy_elbo", ".1f")),
    ("KL, nats", number("kl", ".1f")),
    ("active units", lambda row: f"{row['active_units']} / {row['latent_size']}" if "kl" in row else "–"),
)
POINTS: Sequence[Column] = (
    ("modes ↑", of_all),
    (f"high quality ↑ (perfect: {100 * PERFECT_HIGH_QUALITY:.1f} %)", share("high_quality")),
    ("KL(modes) ↓", number("mode_kl", ".3f")),
    ("earth mover's ↓", number("earth_movers", ".3f")),
    ("MMD² ×10³ ↓", number("mmd", ".2f", 1000)),
)
STACKED_MODES: Sequence[Column] = (("modes ↑", of_all), ("KL(modes) ↓", number("mode_kl", ".3f")))
REFERENCES = ("real data", "perfect sampler")
GALLERY_WIDTH = 3
POOR_RECALL = 0.1
CAVEATS = {
    "images": "In one step a model's critic is updated once; that of wgan and wgan-gp, as published, five times: equal "
    "steps are not equal time. The levels of lapgan learn apart, each from the true coarser picture: so early, what "
    "it makes itself is no such picture. sigma-vae earns its nats on pixels that are always black, and draws "
    "faint digits. “real data” are training images, scored as if they had been generated: what a perfect sampler would "
    "reach.",
    "points": "“real data” are points of the training set; “perfect sampler” draws new ones from the distribution. "
    "Every critic learns twice as fast as its generator: with equal rates, which of the modes gan finds depends on its "
    "seed. sngan has the non-saturating loss and three critic updates per step here: with the hinge loss it was "
    "unreliable on these narrow modes. wgan and wgan-gp have five critic updates, and wgan's bound is wider than on "
    "images. began's critic sees how well a point is reconstructed, not how often it is made, which "
    "leaves its generator free to make one point only.",
}


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A Markdown table, without the columns that nobody has a figure for."""
    measured = [row["measures"] for row in rows if "failed" not in row]
    filled = [(title, form) for title, form in columns if any(form(measures) != "–" for measures in measured)]
    columns = filled or columns
    head = ["model", *(title for title, _ in columns), "time"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if "failed" in row:
            cells = [row["model"], f"failed: {row['failed']}", *[""] * (len(head) - 2)]
        else:
            time = duration(row["training_seconds"]) if row["training_seconds"] else "–"
            name = row["model"] + (
                f" ({row['collapsed']} of {row['trainings']} collapsed)" if row.get("collapsed") else ""
            )
            cells = [name, *(form(row["measures"]) for _, form in columns), time]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gallery(rows: Sequence[Row], folder: str) -> str:
    """The sample grids ``folder/DATA-MODEL.png`` of all rows that have one, side by side."""
    shown = [row for row in rows if "failed" not in row]
    lines = ["| | | |", "|---|---|---|"]
    for first in range(0, len(shown), GALLERY_WIDTH):
        cells = [
            f"**{row['model']}**<br>![{row['model']}]({folder}/{picture_name(row)})"
            for row in shown[first : first + GALLERY_WIDTH]
        ]
        lines.append("| " + " | ".join(cells + [""] * (GALLERY_WIDTH - len(cells))) + " |")
    return "\n".join(lines)


def picture_name(row: Row) -> str:
    """The file of a row's samples."""
    return f"{Path(row['data']).name}-{row['model'].replace(' ', '-')}.png"


def findings(rows: Sequence[Row], points: bool) -> str:
    """What the figures say, as sentences that follow from them."""
    trained = [row for row in rows if "failed" not in row and row["model"] not in REFERENCES]
    by_model = {row["model"]: row["measures"] for row in rows if "failed" not in row}
    sentences = []
    if points:
        whole = [row["model"] for row in trained if row["measures"].get("modes") == row["measures"].get("of", -1)]
        missed = [
            f"{row['model']} ({row['measures']['modes']} of {row['measures']['of']})"
            for row in trained
            if "modes" in row["measures"] and row["model"] not in whole
        ]
        sentences.append(
            f"All modes are found by {', '.join(whole) or 'none'}; not by {', '.join(missed) or 'any other'}."
        )
        ranked = sorted(trained, key=lambda row: row["measures"]["earth_movers"])
        pairs = [f"{row['model']} ({row['measures']['earth_movers']:.3f})" for row in ranked[:3]]
        sentences.append(f"The smallest earth mover's distances are those of {', '.join(pairs)}.")
        if {"gan", "gan-minimax"} <= by_model.keys() and "modes" in by_model["gan"]:
            saturating, other = (by_model[name]["modes"] for name in ("gan-minimax", "gan"))
            if saturating >= other:
                sentences.append(
                    f"The saturating loss does not fail here ({saturating} modes; the non-saturating: {other}), "
                    "perhaps because Adam scales vanishing gradients up again: under plain gradient descent it does "
                    "(tests/generative/test_training.py)."
                )
        if "high_quality" in by_model.get("real data", {}):
            best = max(trained, key=lambda row: row["measures"]["high_quality"])
            sentences.append(
                f"Most samples within 3 standard deviations of a mode: {best['model']}, "
                f"{best['measures']['high_quality']:.1%} (real data {by_model['real data']['high_quality']:.1%})."
            )
    else:
        key = "frechet" if any("frechet" in row["measures"] for row in trained) else "kernel"  # too few for the former
        ranked = sorted((row for row in trained if key in row["measures"]), key=lambda row: row["measures"][key])
        pairs = [f"{row['model']} ({row['measures'][key]:.3g})" for row in ranked]
        if pairs:
            name = {"frechet": "Fréchet", "kernel": "Kernel"}[key]
            sentences.append(f"{name} distance, from best to worst: {', '.join(pairs)}.")
        if key in by_model.get("real data", {}):
            sentences.append(f"Real data have {by_model['real data'][key]:.3g}.")
        conditional = [row for row in trained if "label_accuracy" in row["measures"]]
        if conditional:
            shares = (f"{row['model']} in {row['measures']['label_accuracy']:.0%} of samples" for row in conditional)
            sentences.append(f"The class asked for is what the classifier sees: {', '.join(shares)}.")
        poor = [row["model"] for row in trained if row["measures"].get("recall", 1) < POOR_RECALL]
        if poor:
            sentences.append(
                f"Little of the data's variety, or none (recall below {POOR_RECALL:.0%}): {', '.join(poor)}."
            )
    failed = [row["model"] for row in rows if "failed" in row]
    if failed:
        sentences.append(f"Stopped because of collapse: {', '.join(failed)}.")
    return " ".join(sentences)


OUTSIDE = "## Beside other people's packages"
SYSTEMS = "## Everything the notes describe"


def outside_table(figures: Mapping[str, Any]) -> str:
    """The second table: ours and theirs on the same digits, steps and latents (``images_outside.py``)."""
    rows: Mapping[str, Mapping[str, Any]] = figures["rows"]
    options = next(iter(rows.values()))["options"]
    steps, latents = options["steps"], options["latent_size"]
    lines = [
        OUTSIDE,
        "",
        f"Digits, {steps:,} steps of the same batches and optimiser (PCA is exact), {latents} latents, measured "
        f"on {figures['held_out']:,} held-out digits by `python scripts/docs/images_outside.py "
        f"--steps {steps}`. The networks differ in size; those of pythae are its usual ones.",
        "",
        "| | squared error / image ↓ | cross-entropy ELBO, nats ↑ | seconds |",
        "|---|---|---|---|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: item[1]["squared_error"]):
        bound = f"{row['cross_entropy_elbo']:.1f}" if "cross_entropy_elbo" in row else "–"
        lines.append(f"| {name} | {row['squared_error']:.1f} | {bound} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def with_systems(page: str, folder: Path) -> str:
    """The page with the files of ``folder`` as its last section, in the place of the one that is there.

    Links lead on from the folder, one below the page; those to pictures that are not there (yet) are left out.
    """
    before = page.partition(f"{SYSTEMS}\n")[0].rstrip()
    files = sorted(folder.glob("*.md")) if folder.is_dir() else []
    if not files:
        return before + "\n"

    def kept(link: re.Match[str]) -> str:
        return link[0] if (folder.parent / link[1]).exists() else ""

    texts = [file.read_text().strip().replace("](../", "](") for file in files]
    picture = re.compile(r"(?:, )?\[[^\]]*\]\((\w+/[^)]*\.(?:png|gif))\)")
    texts = [picture.sub(kept, text).replace("| , [", "| [") for text in texts]
    return "\n\n".join([before, SYSTEMS, *texts]) + "\n"


def document(
    rows: Sequence[Row], command: str, grids: str, note: str = "", outside: Mapping[str, Any] | None = None
) -> str:
    """The whole page.

    Args:
        rows: evaluation files.
        command: what made them.
        grids: the folder of sample pictures, relative to the page.
        note: a remark of whoever ran it.
        outside: the file of ``images_outside.py``.
    """
    machines = dict.fromkeys(
        f"{machine['threads']} of {machine['cores']} cores (threads of PyTorch), {machine['processor']}"
        for row in rows
        if (machine := row.get("machine"))
    )
    parts = [
        "# Image generation: every objective on the same data",
        f"Generated by `{command}` from evaluation files; do not edit. Nothing here is FID: distances are between "
        "features named below, and comparable only within this page. One training per row, unless a range in brackets "
        "tells how several seeds differ: small differences mean nothing. "
        f"Time is wall time of training{': ' * bool(machines)}{'; '.join(machines)}. {note}".rstrip(),
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        of_data = [row for row in rows if row["data"] == data]
        measured = [row for row in of_data if "failed" not in row]
        points = any("earth_movers" in row["measures"] for row in measured)
        budget = next((row["budget"] for row in of_data if "budget" in row), "")
        caveat = CAVEATS["points" if points else "images"]
        parts.append(f"## {data}\n\n{budget} {caveat}")
        if points:
            parts += [table(of_data, POINTS), findings(of_data, points), gallery(of_data, grids)]
            continue
        generators = [row for row in of_data if "failed" in row or "kernel" in row["measures"]]
        features = next((row["measures"]["features"] for row in measured if "features" in row["measures"]), "")
        count = next((row["measures"]["samples"] for row in measured if "samples" in row["measures"]), 0)
        parts.append(f"{count:,} samples against as many held-out images. Features: {features}.")
        stacked = any("modes" in row["measures"] for row in measured)
        parts += [table(generators, [*STACKED_MODES, *IMAGES[:5]] if stacked else IMAGES), findings(of_data, points)]
        own = ("squared_error", "code_information", "classifier_accuracy", "bits_per_dimension")
        coders = [row for row in measured if any(name in row["measures"] for name in own)]
        if coders:
            title = "### What only some models can say: reconstructions, likelihoods, codes"
            parts += [title, table(coders, RECONSTRUCTIONS)]
        parts += ["### Samples (of the autoencoders: originals above reconstructions)", gallery(of_data, grids)]
    if outside is not None and outside["rows"]:
        parts.append(outside_table(outside))
    return "\n\n".join(parts) + "\n"
