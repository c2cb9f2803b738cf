"""Pictures from a trained image model: grids, single files, translations of yours, walks through latent space.

worldmodels sample-images --run runs/images-vae-1 --show reconstructions
worldmodels sample-images --label triangles --truncation 1
worldmodels sample-images --show files --rows 10 --out triangles/
worldmodels sample-images --show between --pictures me.jpg you.jpg --out us.gif
worldmodels sample-images --run runs/images-vae-1 --show attribute --attribute 3
worldmodels sample-images --run runs/colourise --show translation --input old.jpg --out new.png
worldmodels sample-images --run runs/text --show captions --caption "a red circle" "a big blue square at the left"
worldmodels sample-images --run runs/pixels --show completion --pictures me.png
worldmodels sample-images --run runs/video --show futures --out futures.gif
worldmodels sample-images --show arithmetic --terms 3,17,25 4,8,9 1,2,6
"""

from __future__ import annotations

from agents.cli.options import Command
from agents.cli.places import newest_images
from agents.viewing.image_samples import (
    ANIMATED,
    MILLISECONDS,
    USED,
    SampleOptions,
    columns_of,
    draw,
    files,
    grid,
    shown_to,
)
from agents.viewing.video import write_video
from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative import sheets, translating
from worldmodels.generative.models.trained import load_trained
from worldmodels.pictures import save_png
from worldmodels.training.checkpoint import pick_device


def body(arguments: SampleOptions) -> None:
    """Draw, and say where the picture is."""
    if min(arguments.rows, arguments.columns - 1) < 1:
        raise UserError("--rows must be at least 1 and --columns at least 2.")
    if arguments.truncation < 0:
        raise UserError(f"--truncation cannot be negative, got {arguments.truncation}.")
    for name, places in USED.items():
        if getattr(arguments, name) != getattr(SampleOptions, name) and arguments.show not in places:
            raise UserError(f"--{name} does nothing for --show {arguments.show}; it is for {', '.join(places)}.")
    run = arguments.run or newest_images()
    if arguments.show == "files":
        folder = arguments.out or run / "files"
        if folder.suffix:
            raise UserError(f"--show files needs a folder for --out, got {folder}.")
        count = files(arguments, load_trained(run, pick_device(arguments.device)), folder)
        say(f"{count} pictures are in {folder}")
        return
    if arguments.show == "translation":
        trained = load_trained(run, pick_device(arguments.device))
        ways = (arguments.samples, arguments.back, arguments.seed)
        say(translating.translate(trained, arguments.input, *ways, arguments.out or run / "translation.png"))
        return
    out = arguments.out or run / f"{arguments.show}.png"
    if out.suffix not in (".png", ".gif", ".mp4"):
        raise UserError(f"--out must end in .png, .gif or .mp4, got {out}.")
    trained = load_trained(run, pick_device(arguments.device))
    films = trained.model.films()
    if out.suffix != ".png" and arguments.show in films:
        scale = 2 * sheets.enlargement(trained.shape.size)
        frames = films[arguments.show](shown_to(arguments, trained))
        write_video((frame.repeat(scale, 0).repeat(scale, 1) for frame in frames), out, 1000 // MILLISECONDS)
        say(f"Look at {out}")
        return
    if out.suffix != ".png" and (arguments.show not in ANIMATED or out.suffix == ".mp4"):
        raise UserError(f"--show {arguments.show} is {'a .gif or ' if arguments.show in ANIMATED else ''}a .png.")
    if arguments.show in ("grid", "captions") and trained.shape.size and not trained.model.condition_channels:
        save_png(grid(arguments, trained), out)
    elif out.suffix == ".png":
        scale = 1 if arguments.show == "latents" else sheets.enlargement(trained.shape.size)
        save_png(draw(arguments, trained), out, scale)
    else:
        sheets.save_gif(columns_of(draw(arguments, trained), trained.shape.size), out)
    say(f"Look at {out}")


COMMAND = Command(
    __doc__,
    SampleOptions,
    body,
    main=(
        *("run", "show", "out", "rows", "columns", "label", "caption", "truncation", "pictures", "input", "samples"),
        *("back", "terms", "unit", "attribute", "seed"),
    ),
)
