"""The training loop, for everything that learns by gradient.

What a step does is a function of (seed, step) alone: batches and noise come from generators made for that step. So
a checkpoint needs no position in the data and no state of any random generator, and a run that was interrupted and
continued equals one that was not, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rollouts.console import duration, progress_bar, say, size
from rollouts.errors import UserError
from rollouts.runs.files import Facts, append_json_line, read_json_lines, write_json_lines
from rollouts.runs.stage import Stage
from rollouts.stopping import finishing, stop_requested
from worldmodels.pictures import Frames
from worldmodels.tracking import Work, trackers
from worldmodels.training.checkpoint import load_newest_state, save_state
from worldmodels.training.distributed import Ranks

SAVE_EVERY = 60.0  #: seconds after which a checkpoint is due, whatever the number of steps
WARM_UP, PROBE = 3, 7  #: steps left out of, and used for, the estimate of what a training will take


class Stateful(Protocol):
    """A module, an optimiser, a schedule: anything that can be saved and restored."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class MetricsLog:
    """``metrics.jsonl``, ``held_out.jsonl`` and trackers of one stage. What was logged after ``step`` is taken back.

    Args:
        lines: how many were logged up to ``step`` in each of the two files, if that is known; fewer are told of.

    Attributes:
        lines: how many there are now.
    """

    def __init__(self, stage: Stage, step: int, lines: Sequence[int] | None = None) -> None:
        self.path, self.held_out_path, self._of = stage.metrics, stage.held_out, stage.id
        self.lines = [0, 0]
        for number, path in enumerate((self.path, self.held_out_path)):
            kept = kept_lines(path, step, self._of, lines[number] if lines is not None else 0)
            self.lines[number] = len(kept)
            if path == self.path or path.exists():
                write_json_lines(path, kept, self._of)
        self.work = Work(stage, step)
        self.trackers = trackers(self.work)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line, and one point to every curve; whole numbers are counts, of which no curve is drawn."""
        append_json_line(self.path, {"step": step, **values}, of=self._of)
        self.lines[0] += 1
        curves = {name: value for name, value in values.items() if not isinstance(value, int) and name != "seconds"}
        self._draw(step, curves)

    def held_out(self, step: int, values: Mapping[str, float]) -> None:
        """The same for what was measured on data that nothing learns from."""
        append_json_line(self.held_out_path, {"step": step, **values}, of=self._of)
        self.lines[1] += 1
        self._draw(step, {f"held_out/{name}": value for name, value in values.items()})

    def picture(self, step: int, name: str, picture: Frames) -> None:
        """Show a picture ``[H, W, 3]``."""
        for tracker in self.trackers:
            tracker.picture(step, f"{self.work.group}/{name}", picture)

    def histogram(self, step: int, name: str, values: Sequence[float]) -> None:
        """Show how numbers are spread."""
        for tracker in self.trackers:
            tracker.histogram(step, f"{self.work.group}/{name}", values)

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        named = {f"{self.work.group}/{name}": float(value) for name, value in values.items()}
        for tracker in self.trackers:
            tracker.scalars(step, named)

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()


def kept_lines(path: Path, step: int, of: str | None, lines: int) -> list[Facts]:
    """What was logged up to a step; fewer lines than there were are told of.

    Raises:
        UserError: the log is damaged, or of another run.
    """
    kept = [record for record in read_json_lines(path, "step", of) if record["step"] <= step]
    if len(kept) < lines:
        say(
            f"{path} has {len(kept)} of the {lines} lines that were logged up to step {step}: its curves have a gap, "
            "what is trained does not depend on it."
        )
    return kept


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
        checkpoint_every: steps between checkpoints; rounded up to a multiple of ``log_every``. Where that takes longer
            than a minute, there are more, with every so many lines of the log; and one when the process is asked to
            end, which it then does with :class:`KeyboardInterrupt`.
        report: called before every checkpoint with pictures and diagnostics to draw; what it keeps in one of
            ``parts`` is saved, and if it ends the training, the same command comes to the same end.
        headline: the metrics shown beside the progress bar.

    Raises:
        UserError: a loss is not finite, or the checkpoint is damaged or of another version.
    """
    first, sums, count, logged = _continued(stage, parts)
    if first >= steps:
        for path, lines in zip((stage.metrics, stage.held_out), logged or (0, 0), strict=True):
            kept_lines(path, first, stage.id, lines)
        return
    checkpoint_every = math.ceil(checkpoint_every / log_every) * log_every
    ranks, state_path, saved, identity = Ranks.here(), stage.state, time.monotonic(), stage.id

    def save(step: int) -> None:
        """Everything that the next step and the next line in the log are made from."""
        pending = {"sums": {name: value.cpu() for name, value in sums.items()}, "count": count} if count else {}
        own: dict[str, Any] = {"stage": identity} if identity else {}
        own |= {"lines": log.lines} if log else {}
        states = {name: part.state_dict() for name, part in parts.items()}
        save_state({"step": step, **own, **states, **pending}, state_path)

    log = MetricsLog(stage, first, logged) if ranks.leads else None
    start = warm = time.perf_counter()
    with finishing(), progress_bar(steps, stage.name, "step", first) as bar:
        for step in range(first, steps):
            for name, value in update(step).items():
                sums[name] = sums.get(name, torch.zeros(())).to(value.device) + value.detach()
            count += 1
            done = step + 1
            if done == first + WARM_UP:
                warm = time.perf_counter()
            elif done == first + WARM_UP + PROBE:
                left = (steps - done) * (time.perf_counter() - warm) / PROBE
                say(f"{stage.name}: about {duration(left)} to go, and {size(_memory(parts))} per checkpoint.")
            bar.update()
            if done % log_every and done != steps:
                if stop_requested() and ranks.count == 1:
                    _refuse_nan(stage, done, {name: float(total) for name, total in sums.items()})
                    save(done)
                    raise KeyboardInterrupt
                continue
            means = {name: total / count for name, total in ranks.add_scalars(sums).items()}
            _refuse_nan(stage, done, means)
            sums, count = {}, 0
            if log is None:
                continue
            log.scalars(done, {**means, "seconds": round(time.perf_counter() - start, 3)})
            stage.tick()
            bar.set_postfix({name: f"{means[name]:.4g}" for name in headline}, refresh=False)
            scheduled = done % checkpoint_every == 0 or done == steps
            if scheduled:
                report(done, log)
            if scheduled or stop_requested() or time.monotonic() - saved >= SAVE_EVERY:
                save(done)
                saved = time.monotonic()
            if stop_requested() and done != steps:
                raise KeyboardInterrupt
    if log is not None:
        log.close()
    ranks.wait()


def _continued(stage: Stage, parts: Mapping[str, Stateful]) -> tuple[int, dict[str, Tensor], int, Sequence[int] | None]:
    """Take over the last checkpoint: the steps that are done, the sums since the last line in the log, of so many of
    them, and the lines in the log, if it tells."""
    # On the CPU: what belongs on a device is moved there, and Adam's step counters, which do not, stay here.
    state = load_newest_state(stage, torch.device("cpu"))
    if state is None:
        if stage.metrics.exists():
            say(f"There is no checkpoint in {stage.path} (state.pt): it is trained from its first step.")
        return 0, {}, 0, None
    if missing := {"step", *parts} - state.keys():
        raise UserError(
            f"{stage.state} was made by another version: it has no {', '.join(sorted(missing))}. Delete "
            f"{stage.path} to make it anew."
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return int(state["step"]), dict(state.get("sums", {})), int(state.get("count", 0)), state.get("lines")
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(
            f"{stage.state} does not fit this stage ({' '.join(str(error).split())[:200]}). Delete "
            f"{stage.path} to make it anew."
        ) from error


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
