"""Weights & Biases: a run for every stage, in the project ``worldmodels``, grouped by run directory.

Its own variables decide the rest: ``WANDB_MODE=offline`` writes to ``./wandb`` for ``wandb sync``, ``WANDB_PROJECT``
names another project, ``WANDB_DIR`` another folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from uuid import uuid4

import wandb

from rollouts.errors import UserError
from worldmodels.pictures import Frames
from worldmodels.tracking import Work

PROJECT = "worldmodels"


class WandB:
    """One run of W&B. What is tracked twice after an interruption is equal, and lies at the same ``step``."""

    def __init__(self, work: Work) -> None:
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=work.identity("wandb", uuid4().hex[:8]),
                resume="allow",
                name=work.name,
                group=work.run.name,
                job_type=work.stage.name,
                config={"commands": work.commands, **work.options},
            )
        except wandb.Error as error:
            raise UserError(
                f"Weights & Biases refuses: {' '.join(str(error).split())[:200]}. Log in with 'wandb login', or track "
                "without a server: WANDB_MODE=offline"
            ) from error
        self.run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({**values, "step": step})

    def picture(self, step: int, name: str, picture: Frames) -> None:
        self.run.log({name: wandb.Image(picture), "step": step})

    def histogram(self, step: int, name: str, values: Sequence[float]) -> None:
        self.run.log({name: wandb.Histogram(list(values)), "step": step})

    def close(self) -> None:
        self.run.finish()


TRACKER = WandB
