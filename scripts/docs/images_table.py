"""docs/images.md: train every objective on the same data with the same budget, measure all, write one table.

Every row is a run under --runs: finished rows are not repeated unless their options differ, an interrupted one
continues where it stopped.

python scripts/docs/images_table.py --steps 3000
python scripts/docs/images_table.py --budget-minutes 30
python scripts/docs/images_table.py --budget-minutes 0
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from images_page import REFERENCES, Row, combine, document, picture_name, with_systems
from readme import shrink

from agents.cli.machine import processor
from agents.cli.options import Command
from rollouts.console import duration, say
from rollouts.errors import UserError
from rollouts.pools.processes import default_workers
from rollouts.runs.files import atomic_path, read_json, write_json
from rollouts.runs.layout import Run
from rollouts.runs.options import config_from_dict, config_to_dict
from worldmodels.generative.collapse import CollapseError
from worldmodels.generative.data.batches import spread
from worldmodels.generative.data.datasets import STACKED, load_samples, to_tensor
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures.evaluation import evaluate, evaluate_perfect, evaluate_reference, read_evaluation
from worldmodels.generative.models.base import ImageConfig, Shape, build
from worldmodels.generative.models.registry import MODELS, preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.sheets import picture
from worldmodels.pictures import save_png
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """What to train, for how long, and where the page goes."""

    data: tuple[str, ...] = ("digits", STACKED, "ring", "grid")
    """Data sets, each a section of the page."""
    models: tuple[str, ...] = ()
    """Rows. Default: all that make sense for the data; of stacked digits, which tell who drops modes, two GANs."""
    steps: int = 3000
    """Training steps of every row on images."""
    point_steps: int = 5000
    """Training steps of every row on points."""
    budget_minutes: float | None = None
    """Start no further row after this time, if one is given; the page is written from the rows that are there. 0 only
    writes."""
    runs: Path = Path("runs/images-table")
    """Where the rows are kept."""
    out: Path = Path("docs/images.md")
    """The page; sample grids and all figures go to a folder of the same name beside it."""
    systems_only: bool = False
    """Only put the files of docs/images-systems into the page that is there."""
    note: str = ""
    """A remark for the head of the page."""
    seeds: int = 3
    """Trainings of every row on points; the table has their median and range."""
    image_seeds: int = 1
    """The same of every row on images."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of training on images."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""


#: Of two kinds: one that may drop modes, and one that hardly should.
DROPPING = ("sngan", "wgan-gp")
#: Their data are pairs, words or clips.
ELSEWHERE = ("pix2pix", "text-to-image", "video", "video-conditional")


def rows_for(data: str, models: tuple[str, ...]) -> list[str]:
    """Models that make sense of these data by themselves: what translates pictures or words is measured elsewhere."""
    samples, usual = load_samples(data), DROPPING if data == STACKED else MODELS
    return [name for name in models or usual if suits(name, samples)]


def suits(name: str, samples: Samples) -> bool:
    """Whether a model can be built for the data, and is told nothing but classes; on points, not even these."""
    config = preset(name, points=not samples.are_images)
    try:
        config.check_networks(not samples.are_images)
        model = build(config, Shape.of(samples), torch.device("cpu"))
    except UserError:
        return False
    if model.condition_channels or name in ELSEWHERE:
        return False
    return samples.are_images or (model.draws and not config.takes_labels)


def configs(name: str, data: str, arguments: Arguments) -> list[ImageConfig]:
    """The trainings of a row, one for each seed; none for a reference."""
    if name in REFERENCES:
        return []
    if data in DISTRIBUTIONS:
        config = dataclasses.replace(preset(name, points=True), data=data, steps=arguments.point_steps)
    else:
        config = dataclasses.replace(preset(name), data=data, steps=arguments.steps, precision=arguments.precision)
    seeds = arguments.seeds if data in DISTRIBUTIONS else arguments.image_seeds
    return [dataclasses.replace(config, seed=seed) for seed in range(seeds)]


def finished(path: Path, configs: list[ImageConfig]) -> bool:
    """Whether a row is there and was made with these options, which rows did not always keep; options that came since
    have their defaults."""
    if not path.exists():
        return False
    kept = read_evaluation(path).get("options")
    if kept is None:
        return True
    try:
        before = [config_from_dict(type(config), values) for config, values in zip(configs, kept, strict=True)]
    except (UserError, ValueError):
        return False
    return before == configs


def row(name: str, data: str, arguments: Arguments) -> Row:
    """Train (or finish) one row and measure it."""
    run = arguments.runs / f"{Path(data).name}-{name}"
    by_seed = configs(name, data, arguments)
    budget = f"{by_seed[0].steps:,} generator steps of {by_seed[0].batch_size} samples for every model"
    budget += "" if data in DISTRIBUTIONS else f", in {by_seed[0].precision}"
    runs = runs_of(run, len(by_seed))
    trainings = [training(name, config, where, arguments) for config, where in zip(by_seed, runs, strict=True)]
    if len(by_seed) == 1:
        return {**trainings[0], "budget": f"{budget}."}
    budget += f", with {len(by_seed)} seeds: the median, and the range in brackets."
    return {**combine(trainings), "budget": budget}


def runs_of(run: Path, trainings: int) -> list[Path]:
    """The run of every seed, or of what no model made."""
    return [run, *(run.with_name(f"{run.name}-{seed}") for seed in range(1, trainings))]


def training(name: str, config: ImageConfig, run: Path, arguments: Arguments) -> Row:
    """Train (or finish) a model and measure it; a collapse is a result too."""
    try:
        fit_images(name, config, run, pick_device(arguments.device))
    except CollapseError as error:
        return {"model": name, "data": config.data, "failed": str(error).split(": ", 1)[1].split(". ")[0]}
    return evaluate(load_trained(run, torch.device("cpu")), arguments.runs)


def reference(name: str, data: str, arguments: Arguments) -> dict[str, Any]:
    """A row that no model made, with its picture."""
    samples = load_samples(data)
    run = arguments.runs / f"{Path(data).name}-{name.replace(' ', '-')}"
    Run(run).images.path.mkdir(parents=True, exist_ok=True)
    shown = to_tensor(samples.train[spread(100 if samples.are_images else 2000, len(samples.train))])
    save_png(picture(shown, 10), Run(run).images.picture("samples"), scale=2)
    return evaluate_perfect(samples) if name == "perfect sampler" else evaluate_reference(samples, arguments.runs)


def body(arguments: Arguments) -> None:
    """Fill in missing rows, then write the page from all that are there."""
    if arguments.systems_only:
        page = with_systems(arguments.out.read_text(), arguments.out.with_name(f"{arguments.out.stem}-systems"))
        with atomic_path(arguments.out) as temporary:
            temporary.write_text(page)
        return
    began = time.perf_counter()
    grids = arguments.out.with_suffix("")
    machine = {"processor": processor(), "cores": default_workers(), "threads": torch.get_num_threads()}
    rows: list[dict[str, Any]] = []
    missing = 0
    for data in arguments.data:
        names = [*rows_for(data, arguments.models), "real data"]
        if data in DISTRIBUTIONS:
            names.append("perfect sampler")
        for number, name in enumerate(names, 1):
            run = arguments.runs / f"{Path(data).name}-{name.replace(' ', '-')}"
            path = run.with_name(f"{run.name}.json")
            by_seed = configs(name, data, arguments)
            if not finished(path, by_seed):
                spent = (time.perf_counter() - began) / 60
                if arguments.budget_minutes is not None and spent >= arguments.budget_minutes:
                    missing += 1
                    continue
                say(f"[{duration(time.perf_counter() - began)}] {data}: {name}, row {number} of {len(names)}")
                result = (reference if name in REFERENCES else row)(name, data, arguments)
                options = [config_to_dict(config) for config in by_seed]
                write_json(path, {"measures": {}, **result, "options": options, "machine": machine})
            rows.append(read_evaluation(path))
            drawn = [Run(one).images.picture("samples") for one in runs_of(run, len(by_seed))]
            if samples := next((picture for picture in drawn if picture.exists()), None):  # a collapsed run has none
                shrink(samples, grids / picture_name(rows[-1]))
    threads = f"OMP_NUM_THREADS={value} " if (value := os.environ.get("OMP_NUM_THREADS")) else ""
    precision = f" --precision {arguments.precision}" if arguments.precision != "float32" else ""
    steps = f"--steps {arguments.steps} --point-steps {arguments.point_steps} --seeds {arguments.seeds}"
    steps += f" --image-seeds {arguments.image_seeds}" if arguments.image_seeds > 1 else ""
    command = f"{threads}python scripts/docs/images_table.py {steps}{precision}"
    outside = grids / "outside.json"
    page = document(rows, command, grids.name, arguments.note, read_json(outside) if outside.exists() else None)
    with atomic_path(arguments.out) as temporary:
        temporary.write_text(with_systems(page, arguments.out.with_name(f"{arguments.out.stem}-systems")))
    write_json(grids / "rows.json", {"command": command, "rows": rows})
    say(
        f"{arguments.out} has {len(rows)} rows"
        + (f", {missing} are missing: the same command adds them." if missing else ".")
    )


COMMAND = Command(__doc__, Arguments, body, main=("data", "models", "steps", "seeds", "runs", "out"))

if __name__ == "__main__":
    COMMAND()
