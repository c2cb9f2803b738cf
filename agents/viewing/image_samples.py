"""What a trained image model draws on command: grids, single files, walks and sums in latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative import latent_pictures, sampling, sheets
from worldmodels.generative.data.batches import held_out
from worldmodels.generative.data.clips import first_frames
from worldmodels.generative.data.image_files import fit, read_image, to_channels
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.models.trained import Trained
from worldmodels.generative.objectives.units import Batch
from worldmodels.pictures import Frames, save_png, with_captions
from worldmodels.training.randomness import generator_for

ANIMATED = ("interpolation", "between", "walk", "attribute")
OF_PICTURES = (*ANIMATED, "neighbours", "manifold", "latents", "arithmetic")
SHOWN = (
    *("grid", "files", "captions", "reconstructions", *ANIMATED, "neighbours"),
    *("translation", "manifold", "latents", "arithmetic", "outliers"),
)
USED = {
    "label": (
        *("grid", "files", "interpolation", "walk", "between", "completion", "manifold", "arithmetic"),
        *("futures", "clips", "reconstructions", "outliers"),
    ),
    "truncation": ("grid", "files"),
    "caption": ("captions", "files"),
    "pictures": ("between", "completion", "futures", "reconstructions", "outliers"),
    "terms": ("arithmetic",),
    "attribute": ("attribute",),
    "unit": ("walk",),
    "input": ("translation",),
    "samples": ("translation",),
    "back": ("translation",),
}
"""What draws something with these options; elsewhere they would be ignored."""
MILLISECONDS = 125  #: that a frame of a clip stays
NAME_LENGTH = 60  #: of a file, in letters of its class or caption
ENCODED = 2000  #: pictures that an attribute vector is taken from


@dataclass(frozen=True)
class SampleOptions:
    """What to draw, and where."""

    run: Path | None = None
    """Run directory. Default: the newest finished one under runs/."""
    show: str = "grid"
    """grid: samples, a class per row where there are classes; files: single pictures; reconstructions; interpolation
    between random samples; between: from one of your --pictures to the next; walk: one latent unit from -3 to 3;
    attribute: z + alpha v; neighbours: the closest training images; manifold: the plane of two latents; latents: a map
    of held-out pictures, coloured by class; arithmetic: sums of latents; outliers: the held-out pictures (or yours)
    that it accounts for worst, above its copies; captions: samples for each --caption; translation: what becomes of
    your --input. Or what the model itself has to show: completion of half pictures (PixelCNN); futures of first frames,
    exchange of motions (video)."""
    out: Path | None = None
    """A .png, or a .gif for interpolation, between, walk and attribute; also a .gif or .mp4 for a video model's futures
    and clips; a folder for files, or for single translations. Default: in the run."""
    rows: int = 8
    """Rows of the picture."""
    columns: int = 10
    """Columns of the picture, or frames of the animation."""
    label: tuple[str, ...] = ()
    """Only these classes. Default: all that the model knows."""
    caption: tuple[str, ...] = ()
    """What is to be seen, for a model that reads: "a red circle". Default: some captions as in its data."""
    truncation: float = 0.0
    """Keep latents within plus or minus this, 1 say: better pictures, fewer kinds. 0 is none."""
    pictures: tuple[Path, ...] = ()
    """Your own pictures, for between, reconstructions, outliers, completion and futures; films, too, for futures, which
    begin as these do."""
    input: tuple[Path, ...] = ()
    """Your own pictures, for translation. Of what inpaint is to fill, the transparent parts are made."""
    samples: int = 1
    """Translations of each, where there are several."""
    back: bool = False
    """Translate the other way (cyclegan)."""
    terms: tuple[str, ...] = ()
    """For arithmetic, A - B + C: the numbers of some samples each, as in --show grid of the same --rows, --columns and
    --seed, counted from 0."""
    unit: int = 0
    """Latent unit of a walk."""
    attribute: str | None = None
    """Class whose samples have the attribute; the vector is their mean code minus that of all others. Default: the
    first one."""
    seed: int = 0
    """Decides the latents."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""


def draw(arguments: SampleOptions, trained: Trained) -> Frames:
    """The picture, ``[H, W, 3]``.

    Raises:
        UserError: the model or the data cannot show this.
    """
    model, rng = trained.model, generator_for(arguments.seed, 0)
    rows, columns, show = arguments.rows, arguments.columns, arguments.show
    if show == "grid" and model.condition_channels:
        show = "samples"  # with what they were made from, and the truth
    if not trained.shape.size and show not in ("grid", "latents"):
        raise UserError(f"{trained.config.data} are points; only --show grid and latents draw them.")
    if show == "grid" and not trained.shape.size:
        return sheets.picture(sampling.draw(model, 2500, rng, None, arguments.truncation), columns)
    if model.frames and show in (*OF_PICTURES, "reconstructions", "outliers"):
        raise UserError(f"--show {show} is for pictures; of clips there are grid, files, {', '.join(model.views())}.")
    if show == "interpolation":
        return sampling.interpolation(model, rows, columns, rng, rows_of(arguments, trained))
    if show == "walk":
        if not 0 <= arguments.unit < model.latent_size:
            raise UserError(f"--unit must be 0 to {model.latent_size - 1}, got {arguments.unit}.")
        return sampling.latent_walk(model, arguments.unit, rows, columns, rng, rows_of(arguments, trained))
    if show == "between":
        return between(arguments, trained)
    if show == "neighbours":
        return sampling.neighbour_rows(model.draw(columns, rng).clamp(0, 1), trained.samples.train)
    if show == "attribute":
        return attribute(arguments, trained)
    if show == "manifold":
        return latent_pictures.manifold(model, rows, columns, only_label(arguments, trained))
    if show == "latents":
        return latents(trained)
    if show == "arithmetic":
        terms = latent_pictures.read_terms(arguments.terms, rows * columns)
        z = model.latent(rows * columns, rng)
        return latent_pictures.arithmetic(model, z, terms, rng, only_label(arguments, trained))
    batch = shown_to(arguments, trained)
    if show == "outliers":
        return outliers(model, batch, columns)
    if show == "reconstructions":
        condition = model.condition(batch)
        codes = sampling.require_encoder(model)(batch.x, condition)
        return sheets.rows_below([batch.x, sampling.require_decoder(model)(codes, condition)])
    views = model.views()
    if show not in views:
        raise UserError(f"There is no --show {show}; choose one of {', '.join(dict.fromkeys([*SHOWN, *views]))}.")
    return views[show](batch)


def shown_to(arguments: SampleOptions, trained: Trained) -> Batch:
    """What a view looks at: the user's own pictures, or held-out data."""
    model, rng = trained.model, generator_for(arguments.seed, 0)
    if arguments.pictures:
        x, label = own_pictures(arguments, trained), only_label(arguments, trained)
        return Batch(x, None if label is None else label.expand(len(x)), rng)
    return held_out(trained.samples, 5 * arguments.rows, model.device, model.condition_of)._replace(rng=rng)


def outliers(model: ImageModel, batch: Batch, count: int) -> Frames:
    """The ``count`` pictures that the model accounts for worst, the worst first, above its copies; says how badly."""
    if model.encode is None and model.nats is None:
        say(f"This model has no encoder: latents of {len(batch.x)} pictures are searched for, which takes a while.")
    found = sampling.surprise(model, batch.x, model.condition(batch))
    worst = found.score.argsort(descending=True)[:count]
    numbers = ", ".join(f"{float(found.score[index]):.4g} (number {int(index)})" for index in worst)
    say(f"{found.of}: {numbers}; half of all have no more than {float(found.score.median()):.4g}.")
    return sheets.rows_below([part[worst] for part in (batch.x, found.copies) if part is not None], count)


def rows_of(arguments: SampleOptions, trained: Trained) -> Tensor | None:
    """The class of every row, if any were asked for: they take turns."""
    if not arguments.label:
        return None
    return trained.labels_of([arguments.label[row % len(arguments.label)] for row in range(arguments.rows)])


def grid(arguments: SampleOptions, trained: Trained) -> Frames:
    """Samples; a model of classes shows one in every row, with its name."""
    model, rng = trained.model, generator_for(arguments.seed, 0)
    labels, names = row_conditions(arguments, trained)
    columns = 1 if model.frames else arguments.columns  # a clip fills a row
    labels = None if labels is None else labels[:: arguments.columns // columns]
    count = len(labels) if labels is not None else arguments.rows * columns
    drawn = sampling.draw(model, count, rng, labels, arguments.truncation)
    least = -(-14 // trained.shape.size)  # so that a caption is no higher than its row
    scale = max(sheets.enlargement(trained.shape.size), least)
    return with_captions(sheets.picture(drawn, arguments.columns), names, scale=scale)


def row_conditions(arguments: SampleOptions, trained: Trained) -> tuple[Tensor | None, Sequence[str]]:
    """The class (or caption) of every sample and the name of every row, or neither: one class in all rows, or a row
    for each."""
    model = trained.model
    if arguments.caption or arguments.show == "captions":
        if model.read is None:
            raise UserError(f"{arguments.run or 'This run'} holds a model that reads no captions: train text-to-image.")
        captions = arguments.caption or model.captions(arguments.rows, generator_for(arguments.seed, 1))
        return torch.stack([model.read(text) for text in captions]).repeat_interleave(arguments.columns, 0), captions
    if not trained.model.classes and not arguments.label:
        return None, []
    names = list(arguments.label or trained.class_names)
    if len(names) == 1:
        names *= arguments.rows
    return trained.labels_of(names).repeat_interleave(arguments.columns), names


def files(arguments: SampleOptions, trained: Trained, folder: Path) -> int:
    """Single pictures, ``folder/CLASS-NUMBER.png`` or ``folder/NUMBER.png``; how many."""
    labels, names = row_conditions(arguments, trained)
    count = len(labels) if labels is not None else arguments.rows * arguments.columns
    drawn = sampling.draw(trained.model, count, generator_for(arguments.seed, 0), labels, arguments.truncation)
    for number, sample in enumerate(drawn):
        name = f"{names[number // arguments.columns][:NAME_LENGTH]}-" if names else ""
        path = folder / f"{name.replace('/', '_')}{number:04}"
        if trained.model.frames:
            sheets.save_gif(list(sheets.rgb(sample)), path.with_suffix(".gif"), MILLISECONDS)
        else:
            save_png(sheets.rgb(sample[None])[0], path.with_suffix(".png"))
    return count


def between(arguments: SampleOptions, trained: Trained) -> Frames:
    """From each of the user's pictures to the next, along the sphere of latents."""
    if len(arguments.pictures) < 2:
        raise UserError("--show between needs at least two pictures: --pictures A.jpg B.jpg")
    model, x, label = trained.model, own_pictures(arguments, trained), only_label(arguments, trained)
    if model.encode is None:
        say(f"This model has no encoder: latents of {len(x)} pictures are searched for, which takes a while.")
    return sampling.path_between(model, sampling.codes_of(model, x, label), arguments.columns, label)


def own_pictures(arguments: SampleOptions, trained: Trained) -> Tensor:
    """The user's pictures as the model knows pictures, ``[N, C, S, S]``, or the first frames of the user's films."""
    size, channels, frames = trained.shape.size, trained.shape.channels, trained.model.context_frames
    if frames:
        films = [first_frames(path, frames, size, channels, trained.config.fit) for path in arguments.pictures]
        shortest = min(len(film) for film in films)
        return to_tensor(np.stack([film[:shortest] for film in films])).to(trained.model.device)
    own = [to_channels(fit(read_image(path), size, trained.config.fit), channels) for path in arguments.pictures]
    return to_tensor(np.stack(own)).to(trained.model.device)


def only_label(arguments: SampleOptions, trained: Trained) -> Tensor | None:
    """The one class of all pictures ``[1]``, which a model of classes needs.

    Raises:
        UserError: no class is named, or several are.
    """
    if not trained.model.classes and not arguments.label:
        return None
    if trained.model.classes and len(arguments.label) != 1:
        raise UserError(f"Say which class they are with one --label: {', '.join(trained.class_names)}.")
    return trained.labels_of(arguments.label).to(trained.model.device)


@torch.no_grad()
def latents(trained: Trained) -> Frames:
    """Codes of held-out samples as a map."""
    model = trained.model
    encode = sampling.require_encoder(model)
    batch = held_out(trained.samples, ENCODED, model.device, model.condition_of)
    codes = encode(batch.x, model.condition(batch))
    return latent_pictures.latent_map(codes, batch.labels, trained.class_names)


def attribute(arguments: SampleOptions, trained: Trained) -> Frames:
    """Held-out pictures without an attribute, and what becomes of them with more and more of it."""
    model, samples = trained.model, trained.samples
    if samples.test_labels is None:
        raise UserError(f"{samples.name} have no labels to make an attribute of.")
    name = arguments.attribute or samples.class_names[0]
    if name not in samples.class_names:
        raise UserError(
            f"There is no class {name!r} to make an attribute of; known are {', '.join(samples.class_names)}."
        )
    if model.classes:
        raise UserError("A conditional model is told the class; attribute vectors are for models without labels.")
    encode = sampling.require_encoder(model)
    x, labels = labelled_pictures(samples)
    with torch.no_grad():
        codes = torch.cat([encode(chunk.to(model.device), None) for chunk in x.split(500)])
    has = labels == samples.class_names.index(name)
    if has.all() or not has.any():
        raise UserError(
            f"Of {len(x)} pictures, {int(has.sum())} are {name}: an attribute needs some with it and without."
        )
    vector = sampling.attribute_vector(codes, has)
    strengths = torch.linspace(0, 1.5, arguments.columns - 1).tolist()
    return sampling.attribute_rows(model, x[~has][: arguments.rows].to(model.device), vector, strengths)


def labelled_pictures(samples: Samples) -> tuple[Tensor, Tensor]:
    """Held-out pictures in random order (data often come sorted), then training ones: small classes have no others."""
    parts = []
    for pictures, labels in ((samples.test, samples.test_labels), (samples.train, samples.train_labels)):
        assert labels is not None
        chosen = torch.randperm(len(pictures), generator=generator_for(0, 1))[:ENCODED].numpy()
        parts.append((to_tensor(pictures[chosen]), torch.from_numpy(labels[chosen])))
    return torch.cat([x for x, _ in parts]), torch.cat([labels for _, labels in parts])


def columns_of(picture: Frames, size: int, gap: int = 2) -> list[Frames]:
    """A grid's columns as the frames of an animation, there and back."""
    step = size + gap
    columns = [
        picture[:, left : left + step + gap].repeat(3, 0).repeat(3, 1)
        for left in range(0, picture.shape[1] - gap, step)
    ]
    return [*columns, *columns[-2:0:-1]]
