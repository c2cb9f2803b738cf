"""TensorBoard: event files in the stage's own folder, for ``tensorboard --logdir runs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodels.pictures import Frames
from worldmodels.tracking import Work

FLUSH_S = 10  #: seconds after which what was written can be seen


class TensorBoard:
    """Curves in groups, pictures, and two texts: what was typed, and with which options."""

    def __init__(self, work: Work) -> None:
        purge = work.step + 1 if work.step and work.goes_on else None
        self.writer = SummaryWriter(str(work.stage.path), purge_step=purge, flush_secs=FLUSH_S)
        if not work.goes_on:
            return
        self.writer.add_text(f"{work.group}/commands", "".join(f"    {line}\n" for line in work.commands), work.step)
        self.writer.add_text(f"{work.group}/options", _table(work.options), work.step)
        for summary in hparams(work.options, dict.fromkeys(work.outcomes, 0.0)):  # the values are those of the curves
            self.writer._get_file_writer().add_summary(summary)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Frames) -> None:
        self.writer.add_image(name, picture, step, dataformats="HWC")

    def histogram(self, step: int, name: str, values: Sequence[float]) -> None:
        self.writer.add_histogram(name, np.asarray(values), step)

    def close(self) -> None:
        self.writer.close()


def _table(options: Mapping[str, object]) -> str:
    rows = [f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in options.items()]
    return "\n".join(("| option | value |", "|---|---|", *rows))


TRACKER = TensorBoard
