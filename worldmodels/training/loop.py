"""The training loop, for everything that learns by gradient.

What a step does is a function of (seed, step) alone: batches and noise come from generators made for that step. So
a checkpoint needs no position in the data and no state of any random generator, and a run that was interrupted and
continued equals one that was not, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rollouts.console import duration, progress_bar, say, size
from rollouts.errors import UserError
from rollouts.runs.files import append_json_line, read_json_lines, write_json_lines
from rollouts.runs.stage import Stage
from worldmodels.training.checkpoint import load_state, save_state
from worldmodels.training.distributed import Ranks

WARM_UP, PROBE = 3, 7  #: steps left out of, and used for, the estimate of what a training will take


class Stateful(Protocol):
    """A module, an optimiser, a schedule: anything that can be saved and restored."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class MetricsLog:
    """``metrics.jsonl`` and TensorBoard events of one stage. What was logged after ``step`` is taken back."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # here: it takes longer to import than PyTorch itself

        self.path = folder / "metrics.jsonl"
        write_json_lines(self.path, [r for r in read_json_lines(self.path, "step") if r["step"] <= step])
        self.board = SummaryWriter(str(folder), purge_step=step + 1 if step else None, flush_secs=10)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line, and one point to every curve."""
        append_json_line(self.path, {"step": step, **values})
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def close(self) -> None:
        self.board.close()


def train(
    stage: Stage,
    parts: Mapping[str, Stateful],
    update: Callable[[int], Mapping[str, Tensor]],
    steps: int,
    log_every: int,
    checkpoint_every: int,
    report: Callable[[int, MetricsLog], None] = lambda step, log: None,
    headline: tuple[str, ...] = (),
) -> None:
    """Call ``update(step)`` for every step up to ``steps``, logging and saving on the way; continue if begun before.

    In a group of processes (``worldmodels/distributed.py``) the first one logs, saves and reports; what ``update``
    returns is added up over all of them.

    Args:
        stage: where metrics, events and ``state.pt`` go.
        parts: what is saved and restored.
        update: does step ``step`` (counted from 0) and returns scalars, whose means are logged.
        log_every: steps between lines in the log; checked for NaN here, so that the device is not waited for.
        checkpoint_every: steps between checkpoints; rounded up to a multiple of ``log_every``.
        report: called before every checkpoint with pictures and diagnostics to draw; what it keeps in one of
            ``parts`` is saved, and if it ends the training, the same command comes to the same end.
        headline: the metrics shown beside the progress bar.

    Raises:
        UserError: a loss is not finite, or the checkpoint is damaged or of another version.
    """
    state_path, first = stage.path / "state.pt", 0
    if state_path.exists():
        # On the CPU: what belongs on a device is moved there, and Adam's step counters, which do not, stay here.
        state = load_state(state_path, torch.device("cpu"))
        if missing := {"step", *parts} - state.keys():
            raise UserError(
                f"{state_path} was made by another version: it has no {', '.join(sorted(missing))}. Delete "
                f"{stage.path} to make it anew."
            )
        first = int(state["step"])
        for name, part in parts.items():
            part.load_state_dict(state[name])
    if first >= steps:
        return
    checkpoint_every = math.ceil(checkpoint_every / log_every) * log_every
    ranks, sums, count = Ranks.here(), dict[str, Tensor](), 0
    log = MetricsLog(stage.path, first) if ranks.leads else None
    start = warm = time.perf_counter()
    with progress_bar(steps, stage.name, "step", first) as bar:
        for step in range(first, steps):
            for name, value in update(step).items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach()
            count += 1
            done = step + 1
            if done == first + WARM_UP:
                warm = time.perf_counter()
            elif done == first + WARM_UP + PROBE:
                left = (steps - done) * (time.perf_counter() - warm) / PROBE
                say(f"{stage.name}: about {duration(left)} to go, and {size(_memory(parts))} per checkpoint.")
            bar.update()
            if done % log_every and done != steps:
                continue
            means = {name: total / count for name, total in ranks.add_scalars(sums).items()}
            _refuse_nan(stage, done, means)
            sums, count = {}, 0
            if log is None:
                continue
            log.scalars(done, {**means, "seconds": round(time.perf_counter() - start, 3)})
            stage.tick()
            bar.set_postfix({name: f"{means[name]:.4g}" for name in headline}, refresh=False)
            if done % checkpoint_every == 0 or done == steps:
                report(done, log)
                save_state({"step": done, **{name: part.state_dict() for name, part in parts.items()}}, state_path)
    if log is not None:
        log.close()
    ranks.wait()


def _memory(parts: Mapping[str, Stateful]) -> int:
    """Bytes of all tensors in a checkpoint."""
    trees, total = [part.state_dict() for part in parts.values()], 0
    while trees:
        tree = trees.pop()
        total += tree.nbytes if isinstance(tree, Tensor) else 0
        trees += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else []
    return total


def _refuse_nan(stage: Stage, step: int, means: Mapping[str, float]) -> None:
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise UserError(
            f"{stage.name}: {', '.join(bad)} is no longer a number at step {step}. Nothing after the last checkpoint "
            f"was kept. Use a lower learning rate, or check the data, then delete {stage.path} and start again."
        )
