"""docs/images/outside.json: the same digits, steps and latents with other people's packages, measured as ours are.

scikit-learn's PCA is what any linear code can do. pythae's VAEs (pip install pythae, in an environment of its own) are
trained here on our batches with our optimiser, so that only its networks and its loss are its own. Rows that are there
are kept; what is not installed is left out.

python scripts/docs/images_outside.py --steps 600
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.cli.options import Command
from rollouts.console import say
from rollouts.runs.files import read_json, write_json
from worldmodels.generative.data.batches import Batches
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.models.base import Shape, adam, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.objectives.elbo import bernoulli_nll
from worldmodels.generative.objectives.units import Trainer
from worldmodels.training.randomness import generator_for
from worldmodels.vae import kl_to_standard_normal, reparameterise

CPU = torch.device("cpu")
OURS = ("linear-ae", "ae", "dense-ae", "lenet-ae", "vae", "vamp-vae")
THEIRS = ("PCA", "AE", "VAE", "VAMP")
Measures = dict[str, float]


@dataclass(frozen=True)
class Arguments:
    """For how long to train, and where the figures go."""

    steps: int = 600
    """Training steps of every row."""
    latent_size: int = 16
    """Length of every code."""
    out: Path = Path("docs/images/outside.json")
    """The figures."""


def squared_error(x: Tensor, reconstruct: Callable[[Tensor], Tensor]) -> Measures:
    """Squared error per held-out image, from the mean code."""
    with torch.no_grad():
        output = torch.cat([reconstruct(part) for part in x.split(250)])
    return {"squared_error": float((output.reshape(x.shape) - x).square().flatten(1).sum(1).mean())}


def bound(x: Tensor, encode: Callable[[Tensor], tuple[Tensor, Tensor]], logits: Callable[[Tensor], Tensor]) -> Measures:
    """Minus the loss of a Bernoulli VAE with a prior of N(0, 1), on held-out images: no likelihood of grey pixels."""
    with torch.no_grad():
        mean, logvar = encode(x)
        z = reparameterise(mean, logvar, torch.randn(mean.shape, generator=generator_for(0, 1)))
        nll = bernoulli_nll(logits(z).reshape(x.shape), x)
    return {"cross_entropy_elbo": float(-(nll + kl_to_standard_normal(mean, logvar).sum(1)).mean())}


def ours(name: str, samples: Samples, x: Tensor, arguments: Arguments) -> Measures:
    """One of our models."""
    config = dataclasses.replace(preset(name), latent_size=arguments.latent_size, steps=arguments.steps)
    model: Any = build(config, Shape.of(samples), CPU)
    batches = Batches(samples, config.batch_size, config.seed, CPU, model.low)
    trainer = Trainer(model.units(), batches, config.seed, lambda step: 1 - step / config.steps)
    for step in range(config.steps):
        trainer(step)
    measures = squared_error(x, lambda part: model.decode(model.encode(part)))
    return measures | (bound(x, model.network.encode, model.network.decode) if name == "vae" else {})


def principal_components(samples: Samples, x: Tensor, arguments: Arguments) -> Measures:
    """scikit-learn's PCA, and the exact log-likelihood of its probabilistic form."""
    from sklearn.decomposition import PCA

    train = to_tensor(samples.train[:]).flatten(1).numpy()
    pca = PCA(arguments.latent_size, random_state=0).fit(train)

    def reconstruct(part: Tensor) -> Tensor:
        return torch.from_numpy(pca.inverse_transform(pca.transform(part.flatten(1).numpy())))

    return squared_error(x, reconstruct)


def pythae_model(name: str, samples: Samples, x: Tensor, arguments: Arguments) -> Measures:
    """One of pythae's, with its usual networks (fully connected), on the batches and with the optimiser of ours."""
    models = import_module("pythae.models")
    torch.manual_seed(0)
    options = getattr(models, f"{name}Config")(
        input_dim=(samples.channels, samples.size, samples.size),
        latent_dim=arguments.latent_size,
        **({} if name == "AE" else {"reconstruction_loss": "bce"}),
    )
    model = getattr(models, name)(options)
    config = preset("vae")
    batches, optimiser = Batches(samples, config.batch_size, 0, CPU), adam(model, config.learning_rate)
    for step in range(arguments.steps):
        optimiser.param_groups[0]["lr"] = config.learning_rate * (1 - step / arguments.steps)
        optimiser.zero_grad()
        model({"data": batches(step).x, "epoch": 1}).loss.backward()
        optimiser.step()
    model.eval()

    def encode(part: Tensor) -> tuple[Tensor, Tensor]:
        output = model.encoder(part)
        return output.embedding, output.log_covariance

    def probabilities(z: Tensor) -> Tensor:
        return model.decoder(z).reconstruction

    measures = squared_error(x, lambda part: probabilities(model.encoder(part).embedding))
    return measures | (bound(x, encode, lambda z: torch.logit(probabilities(z), 1e-6)) if name == "VAE" else {})


def body(arguments: Arguments) -> None:
    """Fill in missing rows."""
    rows: dict[str, Any] = read_json(arguments.out)["rows"] if arguments.out.exists() else {}
    samples = load_samples("digits")
    x = to_tensor(samples.test[:])
    packages = {"PCA": "sklearn"}
    for name in (*OURS, *THEIRS):
        package = "worldmodels" if name in OURS else packages.get(name, "pythae")
        key, options = f"{package} {name}", {"steps": arguments.steps, "latent_size": arguments.latent_size}
        if rows.get(key, {}).get("options") == options:
            continue
        if importlib.util.find_spec(package) is None:
            say(f"{package} is not installed: {name} is left out.")
            continue
        began = time.perf_counter()
        if name in OURS:
            measures = ours(name, samples, x, arguments)
        else:
            measures = (principal_components if name == "PCA" else lambda *a, n=name: pythae_model(n, *a))(
                samples, x, arguments
            )
        rows[key] = {**measures, "seconds": round(time.perf_counter() - began, 1), "options": options}
        write_json(arguments.out, {"held_out": len(x), "rows": rows})
        say(f"{key}: {rows[key]}")


COMMAND = Command(__doc__, Arguments, body, main=("steps", "latent_size", "out"))

if __name__ == "__main__":
    COMMAND()
