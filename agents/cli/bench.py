"""Bench: how fast is this machine at every step of the pipeline, and how far from what its arithmetic allows?

worldmodels bench --out bench.json

Everything is measured in one run, so that ratios hold whatever else the machine does. Beside a row stands the rate at
which this machine's own matrix product, measured here too, could do the row's multiplications and additions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.cli.dream_rows import dream_row, sb3_rows
from agents.cli.machine import processor
from agents.cli.measuring import Row, rate, world_model
from agents.cli.options import Command, Device
from agents.cli.peer_rows import dream_peers, environment_peers
from agents.controller import ControllerSpec
from agents.fitness import evaluate_lanes
from agents.lanes import RealLanes
from agents.learning.cma_es import CMAES
from rollouts.console import say
from rollouts.envs.image_env import make_env, preprocess
from rollouts.runs.files import atomic_path, write_json
from rollouts.runs.provenance import package_versions
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.mixture import mixture_nll
from worldmodels.pictures import to_float
from worldmodels.training.checkpoint import pick_device
from worldmodels.training.precision import Format, autocast, has_bfloat16
from worldmodels.training.threads import one_thread
from worldmodels.vae import ConvVAE, fast_encoder, vae_loss
from worldmodels.world_model import WorldModel


def environment_rows() -> Iterator[Row]:
    """Stock and fast CarRacing, per CPU-second, on the same drive."""
    cpu, rates = torch.device("cpu"), dict[str, float]()
    drive = np.array([0.05, 0.3, 0.0], np.float32)
    for name in ("carracing", "carracing-fast"):
        env = make_env(name)
        env.reset(seed=0)
        for _ in range(60):  # past the opening zoom, in which more of the track is in view
            env.step(drive)
        rates[name] = rate(lambda env=env: env.step(drive), 1, cpu, time.process_time)  # type: ignore[misc]
        env.close()
    yield Row("environment step, stock CarRacing-v3", rates["carracing"], "steps/CPU-s")
    ratio = rates["carracing-fast"] / rates["carracing"]
    yield Row("environment step, carracing-fast", rates["carracing-fast"], "steps/CPU-s", note=f"x {ratio:.1f}")
    yield from environment_peers(rates["carracing-fast"])
    frame, preset = (
        np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8),
        make_env("carracing").preset,
    )
    speed = rate(lambda: preprocess(frame, preset), 1, cpu, time.process_time)
    yield Row("preprocess (crop, 64x64)", speed, "frames/CPU-s")


def matmul_rate(device: torch.device, size: int = 1024) -> float:
    """Floating-point operations per second of a float32 matrix product."""
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    return rate(lambda: a @ b, 2 * size**3, device, time.perf_counter)


def flops(module: nn.Module, *inputs: Tensor) -> int:
    """Floating-point operations of one call, counted by PyTorch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops())


def network_rows(model: WorldModel, peak: float) -> Iterator[Row]:
    """Seeing, remembering, dreaming; training V and M. What this device cannot multiply in is left out."""
    device = model.device
    per_frame = flops(model.vae.encoder, torch.zeros(1, 3, 64, 64, device=device))
    frames = np.random.default_rng(0).integers(0, 255, (128, 64, 64, 3)).astype(np.uint8)
    for batch in (1, 16, 128):
        speed = rate(lambda b=batch: model.encode(frames[:b]), batch, device, time.perf_counter)  # type: ignore[misc]
        yield Row(f"V: encode, batch {batch}", speed, "frames/s", peak / per_frame)
    fast = fast_encoder(model.vae)
    if fast is not None:
        tensor = torch.from_numpy(frames[:16])
        with one_thread(), torch.inference_mode():
            speed = rate(lambda: fast(tensor), 16, device, time.perf_counter)
        yield Row("V: encode in bfloat16, batch 16, one thread", speed, "frames/s")
    lstm = 2 * 4 * 256 * (35 + 256)
    head = 2 * 256 * 482
    formats: list[Format] = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    if len(formats) == 1:
        say("Rows in bfloat16 are left out: this device has no arithmetic for it.")
    for lanes in (64, 256, 1024, 4096):
        row = dream_row(model, lanes, peak / (lstm + head + 2 * 3 * 289), "float32")
        yield row
        if lanes == 1024:
            yield from dream_peers(device, lanes, row.rate)
    for precision in formats[1:]:
        yield dream_row(model, 1024, None, precision)
    yield dream_row(world_model(device, "transformer"), 1024, None, "float32", "M a transformer")
    yield from sb3_rows(model)
    for precision in formats:
        yield _vae_training_row(device, frames, peak, precision)
    for precision in formats:
        yield _mdn_rnn_training_row(device, peak / (3 * (lstm + head)) if precision == "float32" else None, precision)


def _vae_training_row(device: torch.device, frames: np.ndarray, peak: float, precision: Format) -> Row:
    vae = ConvVAE(32).on(device).train()
    optimiser = torch.optim.Adam(vae.parameters(), 1e-4)
    noise = torch.randn(len(frames), 32, device=device)

    def step() -> None:
        pictures = to_float(frames, device)
        with autocast(device, precision):
            reconstruction, mean, logvar = vae(pictures, noise)
        optimiser.zero_grad(set_to_none=True)
        vae_loss(reconstruction.float(), pictures, mean.float(), logvar.float()).total.backward()
        optimiser.step()

    floor = peak / (3 * flops(vae, torch.zeros(1, 3, 64, 64, device=device), noise[:1]))
    return Row(
        f"V: training, {precision}, batch {len(frames)}",
        rate(step, len(frames), device, time.perf_counter),
        "frames/s",
        floor if precision == "float32" else None,
    )


def _mdn_rnn_training_row(device: torch.device, floor: float | None, precision: Format) -> Row:
    mdnrnn, (n, t) = MDNRNN().to(device), (32, 128)
    optimiser = torch.optim.Adam([p for p in mdnrnn.parameters() if p.requires_grad], 1e-3)
    z, actions = torch.randn(n, t + 1, 32, device=device), torch.randn(n, t, 3, device=device)

    def step() -> None:
        with autocast(device, precision):
            prediction, _ = mdnrnn(z[:, :-1], actions)
        optimiser.zero_grad(set_to_none=True)
        mixture_nll(prediction.mixture, z[:, 1:]).mean().backward()
        optimiser.step()

    speed = rate(step, n * t, device, time.perf_counter)
    return Row(f"M: training, {precision}, {n} windows of {t}", speed, "steps/s", floor)


def real_row(fast: bool, repeat: int = 1) -> Row:
    """Real lanes with V and M in this process, on one thread, as a worker runs them; actions last ``repeat`` steps."""
    on_cpu = world_model(torch.device("cpu"), repeat=repeat)
    on_cpu.use_fast_encoder(fast)
    lanes, spec = RealLanes(on_cpu, on_cpu.env), ControllerSpec("zh")
    controller = spec.build(on_cpu)
    parameters = np.random.default_rng(0).standard_normal((4, controller.parameter_count)) * 0.05
    with one_thread():
        run = lambda steps: evaluate_lanes(  # noqa: E731
            lanes, controller, parameters, range(4), steps, None, torch.device("cpu")
        )
        run(5)
        start = time.process_time()
        done = int(run(150).lengths.sum())
        speed = done / (time.process_time() - start)
    kind = "bfloat16 V" if fast else "float32 V"
    lanes.close()
    kind, unit = (kind, "steps") if repeat == 1 else (f"{kind}, action repeat {repeat}", "decisions")
    return Row(f"real lanes with V and M ({kind}), 16 lanes", speed, f"{unit}/CPU-s")


def cma_row() -> Row:
    """What the strategy itself costs."""
    strategy, rng = CMAES(np.zeros(867), 0.1, 64, 0), np.random.default_rng(0)

    def step() -> None:
        strategy.ask()
        strategy.tell(rng.standard_normal(64))

    return Row(
        "CMA-ES ask + tell, 867 parameters, 64 candidates",
        rate(step, 1, torch.device("cpu"), time.perf_counter),
        "generations/s",
    )


def all_rows(model: WorldModel, peak: float) -> Iterator[Row]:
    """Everything, one row after the other."""
    yield from environment_rows()
    yield Row("float32 matrix product, 1024 x 1024", peak / 1e9, "GFLOP/s")
    yield from network_rows(model, peak)
    for repeat in (1, 4):
        yield real_row(False, repeat)
        if fast_encoder(model.vae) is not None:
            yield real_row(True, repeat)
    yield cma_row()


@dataclass(frozen=True)
class Arguments:
    """Where to compute, and where to write what was measured."""

    out: Path | None = None
    """Write all rows here as JSON, and as a table beside it (.md)."""
    device: Device = "auto"


def body(arguments: Arguments) -> None:
    """Measure, print, save."""
    device = pick_device(arguments.device)
    say("About a minute and a half; leave the machine alone meanwhile.")
    model, peak = world_model(device), matmul_rate(device)
    rows = []
    for row in all_rows(model, peak):
        say(f"{row.what}: {row.rate:,.0f} {row.unit} {row.note}")
        rows.append(row)
    machine = {"processor": processor(), "threads": torch.get_num_threads(), "device": _device_name(device)}
    table = _markdown(machine, rows)
    print(table)
    if arguments.out is not None:
        facts = {"machine": machine, "versions": package_versions(), "rows": [dataclasses.asdict(row) for row in rows]}
        write_json(arguments.out, facts)
        with atomic_path(arguments.out.with_suffix(".md")) as temporary:
            temporary.write_text(table + "\n")


def _markdown(machine: dict[str, Any], rows: list[Row]) -> str:
    where = f"{machine['processor']}, {machine['threads']} threads, device {machine['device']}"
    lines = [
        f"Measured by `worldmodels bench` on {where}.",
        "",
        "| | measured | | arithmetic alone would allow |",
        "|---|--:|---|--:|",
    ]
    for row in rows:
        floor = "" if row.floor is None else f"{row.floor:,.0f} (reached: {row.rate / row.floor:.0%})"
        lines.append(f"| {row.what} | {row.rate:,.0f} | {row.unit} {row.note} | {floor} |")
    return "\n".join(lines)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


COMMAND = Command(__doc__, Arguments, body, main=("out", "device"))
