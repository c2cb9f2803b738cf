"""What networks multiply in: float32, or bfloat16 where this device is faster in it.

Some processors have instructions for bfloat16 (AVX512-BF16, AMX), most laptops have none and imitate it, an order of
magnitude slower. So nobody has to know: ``auto`` asks the device, times the real network in both, and keeps what it
found for as long as the training lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.stage import Stage
from worldmodels.training.distributed import Ranks

Format = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]

GAIN = 0.9  #: bfloat16 is taken where it needs at most this share of float32's time
SHORT = 20.0  #: seconds; a training that is over sooner stays in float32, without a measurement
REPEATS = 3  #: timed steps in each format, of which the fastest counts


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device says that it has bfloat16 arithmetic; whether that is faster, only a measurement can tell."""
    kind = torch.device(device).type
    if kind == "cpu":
        return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device | str, precision: Format) -> torch.autocast:
    """Within it, networks multiply in ``precision``; sums, losses and weights stay in float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


def choose(
    precision: Precision, device: torch.device | str, steps: int, step: Callable[[Format], None], name: str
) -> Format:
    """The format to work in.

    Args:
        precision: ``auto`` measures; any other is taken, with a word where it is the slower one.
        steps: how many steps are to come; a short piece of work is not worth a measurement.
        step: one step of the real network, without consequences.
        name: what is measured, for people.

    Raises:
        UserError: bfloat16 was asked for, and this device cannot do such a step in it.
    """
    if precision == "float32" or (precision == "auto" and not has_bfloat16(device)):
        return "float32"
    single = seconds_of(lambda: step("float32"), device, repeats=1)
    if precision == "auto" and single * steps < SHORT:
        return "float32"
    try:
        half = seconds_of(lambda: step("bfloat16"), device)
    except RuntimeError as error:  # as oneDNN's LSTM on processors without bfloat16 arithmetic
        if precision == "auto":
            return "float32"
        raise UserError(
            f"This device cannot compute {name} in bfloat16 ({' '.join(str(error).split())}); "
            "choose the precision auto, or float32."
        ) from None
    single = seconds_of(lambda: step("float32"), device)
    faster: Format = "bfloat16" if half < GAIN * single else "float32"
    figures = f"a step takes {half * 1e3:.3g} ms in bfloat16, {single * 1e3:.3g} ms in float32"
    if precision == "auto":
        say(f"{name}: {figures}; {faster} it is.")
        return faster
    if half > single:
        say(f"{name}: {figures} on this device. As asked, it is bfloat16; auto would choose float32.")
    return precision


def settle(
    stage: Stage,
    precision: Precision,
    device: torch.device | str,
    steps: int,
    step: Callable[[Format], None],
    name: str,
) -> Format:
    """As :func:`choose`, noted in the stage's manifest, so that continuing keeps what was begun with.

    The first of several processes chooses for all. What a run of before was begun in stands in its ``config.json``.
    """
    ranks = Ranks.here()
    with ranks.leader_first():
        if ranks.leads and "precision" not in stage.manifest:
            precision = stage.options.get("precision", precision)
            stage.note(precision=choose(precision, device, steps, step, name))
    chosen: Format = stage.manifest["precision"]
    return chosen


def seconds_of(step: Callable[[], None], device: torch.device | str, repeats: int = REPEATS) -> float:
    """Wall time of one step: the fastest of some, after one to warm up."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    times = []
    for _ in range(1 + repeats):
        wait()
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    return min(times[1:])
