"""An image model as the page needs it: what turns numbers into a picture, and the names of its classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents.export_page.agent import EFFECT
from agents.export_page.networks import Layer, layers_of
from agents.export_page.tensors import Tensors
from rollouts.errors import UserError
from worldmodels.generative.models.trained import load_trained
from worldmodels.layers import count_parameters
from worldmodels.training.randomness import generator_for

SHOWN = 4  #: pictures on which the effect of every number is measured


class Drawing(NamedTuple):
    """What the page needs to know of an image model."""

    model: str
    network: nn.Module
    decode: Callable[[Tensor, Tensor | None], Tensor]  #: [N, latent_size] and labels -> [N, C, S, S] in [0, 1]
    latent_size: int
    classes: tuple[str, ...]  #: of a conditional model


def drawing_of(run: Path) -> Drawing:
    """A finished run's model.

    Raises:
        UserError: the run is damaged, or its model has no distribution to draw from.
    """
    trained = load_trained(run, torch.device("cpu"))
    model = trained.model
    if not model.draws:
        raise UserError(f"{run} is an autoencoder: nothing says which numbers make a picture. Export a VAE or a GAN.")
    if model.decode is None:
        raise UserError(f"{run} holds a model without latents. Export a VAE or a GAN.")
    if not model.normal_latents:
        raise UserError(f"{run} draws from a prior that it has learned, the page draws from N(0, 1): export a vae.")
    classes = trained.class_names if model.classes else ()
    return Drawing(trained.name, model.network, model.decode, model.latent_size, classes)


@torch.no_grad()
def describe_images(run: Path, title: str | None = None) -> dict[str, Any]:
    """Everything of an image model that goes into ``model.js``.

    Raises:
        UserError: there is no such run, it makes points and no pictures, or the page cannot run its network.
    """
    drawing, tensors = drawing_of(run), Tensors()
    z = torch.randn(SHOWN, drawing.latent_size, generator=generator_for(0, 0))
    labels = torch.arange(SHOWN) % len(drawing.classes) if drawing.classes else None
    layers = _layers(drawing, z, labels)
    return {
        "kind": "images",
        "title": title or "Pictures that nobody drew",
        "model": drawing.model,
        "weights": count_parameters(drawing.network),
        "latents": drawing.latent_size,
        "classes": drawing.classes,
        "decoder": [layer.json(tensors) for layer in layers],
        "effects": _effects(drawing, z, labels),
        **tensors.json(),
    }


def _layers(drawing: Drawing, z: Tensor, labels: Tensor | None) -> list[Layer]:
    """The model's modules in the order in which they ran, and how their last numbers become a picture."""
    ran: list[tuple[nn.Module, Tensor, Tensor]] = []
    leaves = [module for module in drawing.network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda *one: ran.append((one[0], one[1][0], one[2]))) for leaf in leaves]
    picture = drawing.decode(z, labels)
    for hook in hooks:
        hook.remove()
    if picture.ndim != 4:
        raise UserError(f"The model {drawing.model} makes points; only pictures can be exported.")
    incoming = z if labels is None else torch.cat([z, nn.functional.one_hot(labels, len(drawing.classes))], 1)
    for module, taken, output in ran:
        if taken.shape != incoming.shape or not torch.equal(taken, incoming):
            raise UserError(
                f"The page runs networks whose layers follow one another; {drawing.model}'s {type(module).__name__} "
                "takes something else than the layer before it gave."
            )
        incoming = output
    finish = next(
        (layers for candidate, layers in _endings(incoming) if torch.allclose(candidate, picture, atol=1e-6)), None
    )
    if finish is None:
        raise UserError(f"The page does not know how the last layer of {drawing.model} becomes a picture.")
    return [*layers_of([module for module, _, _ in ran], drawing.latent_size + len(drawing.classes)), *finish]


def _endings(last: Tensor) -> list[tuple[Tensor, list[Layer]]]:
    """Pictures in [0, 1] from last numbers that are so already, go from -1 to 1, or are logits."""
    ones = torch.ones(last.shape[1]).double().numpy()
    return [
        (last, []),
        ((last + 1) / 2, [Layer("scale", {"scale": 0.5 * ones, "shift": 0.5 * ones})]),
        (torch.sigmoid(last), [Layer("activation", {"name": "sigmoid"})]),
    ]


def _effects(drawing: Drawing, z: Tensor, labels: Tensor | None) -> list[float]:
    """How much of the picture every number changes: mean absolute difference in [0, 1] between -2 and 2."""
    effects = []
    for unit in range(drawing.latent_size):
        low, high = z.clone(), z.clone()
        low[:, unit], high[:, unit] = -EFFECT, EFFECT
        change = drawing.decode(high, labels) - drawing.decode(low, labels)
        effects.append(round(float(change.abs().mean()), 5))
    return effects
