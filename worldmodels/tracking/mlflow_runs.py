"""MLflow: a run for every stage, in the experiment ``worldmodels``.

``MLFLOW_TRACKING_URI`` says where it is kept (a database or a server), ``MLFLOW_EXPERIMENT_NAME`` names another
experiment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import Metric, Param

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.pictures import Frames
from worldmodels.tracking import Work

EXPERIMENT = "worldmodels"
ALLOWED = "/_-. "  #: beside letters and digits, in names
LONGEST = 500  #: letters of an option's value that every version takes


class MLflow:
    """One run of MLflow. A server that does not answer any more ends the tracking, not the training."""

    def __init__(self, work: Work) -> None:
        try:
            self.client = mlflow.MlflowClient()
            self.run = self._continued(work)
        except mlflow.exceptions.MlflowException as error:
            raise UserError(
                f"MLflow refuses: {' '.join(str(error).split())[:200]}. Where runs are kept is said by "
                "MLFLOW_TRACKING_URI, for example sqlite:///mlflow.db"
            ) from error
        self.answers = True

    def _continued(self, work: Work) -> str:
        """The stage's run; a new one if it has none, with its options."""
        if (run := work.identity("mlflow")) is not None:
            self.client.update_run(run, status="RUNNING")
            return run
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else self.client.create_experiment(name)
        tags = {"run": work.run.name, "stage": work.stage.name, "commands": "\n".join(work.commands)}
        created: str = self.client.create_run(place, tags=tags, run_name=work.name).info.run_id
        params = [Param(_name(option), str(value)[:LONGEST]) for option, value in work.options.items()]
        for first in range(0, len(params), 100):  # as many as a server takes at once
            self.client.log_batch(created, params=params[first : first + 100])
        work.identity("mlflow", created)
        return created

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_name(name), float(value), now, step) for name, value in values.items()]
        self._send(lambda: self.client.log_batch(self.run, metrics=metrics))

    def picture(self, step: int, name: str, picture: Frames) -> None:
        self._send(lambda: self.client.log_image(self.run, picture, key=_name(name), step=step))

    def histogram(self, step: int, name: str, values: Sequence[float]) -> None:
        """MLflow draws none."""

    def close(self) -> None:
        self._send(lambda: self.client.set_terminated(self.run))

    def _send(self, what: Callable[[], Any]) -> None:
        if not self.answers:
            return
        try:
            what()
        except mlflow.exceptions.MlflowException as error:
            self.answers = False
            say(f"MLflow does not answer any more ({' '.join(str(error).split())[:200]}); this stage goes on without.")


def _name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ALLOWED else "_" for letter in name)


TRACKER = MLflow
