"""What is tracked of a training: TensorBoard's files are read back, the others are stood in for by fakes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rollouts.errors import UserError
from rollouts.runs.files import read_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage
from tests.faults.helpers import call
from worldmodels import tracking
from worldmodels.configs import VAEConfig
from worldmodels.generative.collapse import named
from worldmodels.pictures import with_captions
from worldmodels.tracking import Work, flat, note, track_with
from worldmodels.training.loop import MetricsLog


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    yield
    tracking._chosen = ()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Run(tmp_path / "car").vae.open(VAEConfig(steps=20), {})


def board(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"tensors": 0, "images": 0, "scalars": 0}).Reload()


def points(read: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in read.Scalars(tag)]


def text(read: EventAccumulator, tag: str) -> str:
    return b"".join(read.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val).decode()


def test_a_run_has_grouped_curves_and_none_of_counts(tiny_run: Path):
    groups = {"vae": "V/", "mdnrnn": "M/", "controller": "C/"}
    tags = {name: board(tiny_run / name).Tags()["scalars"] for name in groups}
    for name, group in groups.items():
        assert tags[name]
        assert all(tag.startswith(group) for tag in tags[name])
        words = {word for tag in tags[name] for word in tag.split("/")}
        assert not words & {"steps", "episodes", "window", "windows", "ends", "seconds", "environment_steps"}
    assert {"V/loss", "V/held_out/kl", "V/held_out/active_units"} <= set(tags["vae"])
    assert {"M/z_nll_per_dim", "M/held_out/z_nll_per_dim", "M/held_out/mixture_entropy"} <= set(tags["mdnrnn"])
    assert {"C/fitness/mean", "C/validation/real", "C/sigma"} <= set(tags["controller"])
    assert "C/validation/fitness" not in tags["controller"]


def test_a_run_has_its_options_as_text_and_to_be_compared_by(tiny_run: Path):
    read = board(tiny_run / "mdnrnn")
    assert "| hidden_size | 16 |" in text(read, "M/options")
    plugin = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"hidden_size" in plugin
    experiment = read.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert b"M/held_out/z_nll_per_dim" in experiment


def test_pictures_of_a_run_are_large_and_have_captions(tiny_run: Path):
    for name, tag, rows in (("vae", "V/reconstructions", 2), ("vae", "V/prior_samples", 2), ("mdnrnn", "M/dream", 3)):
        picture = board(tiny_run / name).Images(tag)[-1]
        assert picture.height >= rows * 128
        assert picture.width > 200


def test_what_was_typed_is_shown(stage: Stage):
    stage.note(commands=["worldmodels train-vae --run 'runs/a|b'"])
    MetricsLog(stage, 0).close()
    read = board(stage.path)
    assert "worldmodels train-vae --run 'runs/a|b'" in text(read, "V/commands")
    assert "| steps | 20 |" in text(read, "V/options")


def test_what_was_logged_after_a_checkpoint_is_taken_back(stage: Stage):
    log = MetricsLog(stage, 0)
    for step in (5, 10):
        log.scalars(step, {"loss": float(step), "seconds": 1.0, "updates": 3})
        log.held_out(step, {"kl": step / 2})
    log.close()
    log = MetricsLog(stage, 5)
    log.scalars(10, {"loss": 7.0})
    log.close()
    assert read_json_lines(stage.metrics, "step", stage.id) == [
        {"step": 5, "loss": 5.0, "seconds": 1.0, "updates": 3},
        {"step": 10, "loss": 7.0},
    ]
    assert read_json_lines(stage.held_out, "step", stage.id) == [{"step": 5, "kl": 2.5}]
    read = board(stage.path)
    assert read.Tags()["scalars"] == ["V/loss", "V/held_out/kl"]
    assert points(read, "V/loss") == [(5, 5.0), (10, 7.0)]
    assert points(read, "V/held_out/kl") == [(5, 2.5)]


def test_a_score_stands_beside_the_curves_and_takes_nothing_back(stage: Stage):
    log = MetricsLog(stage, 0)
    log.scalars(5, {"loss": 1.0})
    log.close()
    note(stage, 5, {"score/mean": 812.5})
    read = board(stage.path)
    assert points(read, "V/loss") == [(5, 1.0)]
    assert points(read, "V/score/mean") == [(5, 812.5)]


def test_a_round_is_named_after_its_run(tmp_path: Path):
    work = Work(Run(tmp_path / "car").round(2).mdnrnn)
    assert (work.name, work.run.name, work.group) == ("car/round-2/mdnrnn", "car", "M")
    assert Work(Run(tmp_path / "digits").images).name == "digits/images"


def test_options_of_sections_are_flat():
    assert flat({"a": 1, "spec": {"hidden": 8, "deep": {"b": [1, 2]}}, "none": None}) == {
        "a": 1,
        "spec.hidden": 8,
        "spec.deep.b": "1 2",
        "none": "None",
    }


def test_captions_stand_above_columns_too():
    sheet = np.full((20, 300, 3), 9, np.uint8)
    captioned = with_captions(sheet, ["row"], ["a", "b"])
    margin, top = captioned.shape[1] - 600, captioned.shape[0] - 40
    assert (captioned[top:, margin:] == 9).all()
    for half in (captioned[:top, margin : margin + 300], captioned[:top, margin + 300 :]):
        assert half.min() < 100
    assert (captioned[:top, :margin] == 255).all()


@pytest.mark.parametrize(
    ("view", "classes", "condition", "left", "above"),
    [("reconstructions", 0, 0, True, False), ("samples", 4, 0, False, True), ("samples", 0, 1, True, False)],
)
def test_sheets_of_image_models_say_what_their_rows_are(view, classes, condition, left, above):
    sheet = np.full((3 * 30 + 2, 4 * 30 + 2, 3), 200, np.uint8)
    model: Any = SimpleNamespace(classes=classes, condition_channels=condition)
    shown = named(sheet, view, model, SimpleNamespace(x=np.zeros((1, 1, 28, 28))))  # type: ignore[arg-type]
    assert (shown.shape[1] > 4 * sheet.shape[1], shown.shape[0] > 4 * sheet.shape[0]) == (left, above)


class FakeWandB(ModuleType):
    """As much of W&B as is used; remembers all it is told."""

    class Error(Exception):
        pass

    class Image:
        def __init__(self, picture: np.ndarray) -> None:
            self.shape = picture.shape

    class Histogram(list):
        pass

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.refusal = ""

    def init(self, **options: Any) -> Any:
        if self.refusal:
            raise self.Error(self.refusal)
        self.begun.append(options)
        return SimpleNamespace(log=self.logged.append, define_metric=lambda *_, **__: None, finish=lambda: None)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, *fakes: ModuleType) -> None:
    """Put fakes in the place of a tracker's package and its parts."""
    for fake in fakes:
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.delitem(sys.modules, tracking.PLACES[name], raising=False)
    monkeypatch.setattr(tracking, "find_spec", lambda _: True)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandB:
    fake = FakeWandB()
    stand_in(monkeypatch, "wandb", fake)
    return fake


def test_weights_and_biases_gets_everything_and_the_same_run_when_continued(stage: Stage, wandb: FakeWandB):
    track_with(["wandb"])
    for step in (0, 5):
        log = MetricsLog(stage, step)
        log.scalars(step + 5, {"loss": 2.0})
        log.held_out(step + 5, {"kl": 1.0})
        log.picture(step + 5, "seen", np.zeros((4, 6, 3), np.uint8))
        log.histogram(step + 5, "units", [0.5, 1.0])
        log.close()
    first, again = wandb.begun
    assert first["id"] == again["id"] == stage.manifest["tracking"]["wandb"]
    assert len(first["id"]) == 8
    assert (first["resume"], first["group"], first["name"], first["job_type"]) == ("allow", "car", "car/vae", "vae")
    assert first["config"]["steps"] == 20
    assert wandb.logged[:2] == [{"V/loss": 2.0, "step": 5}, {"V/held_out/kl": 1.0, "step": 5}]
    assert wandb.logged[2]["V/seen"].shape == (4, 6, 3)
    assert wandb.logged[3]["V/units"] == [0.5, 1.0]


def test_a_stage_that_is_trained_longer_stays_in_its_tracked_run(stage: Stage, wandb: FakeWandB):
    track_with(["wandb"])
    MetricsLog(stage, 0).close()
    before = stage.manifest["tracking"]
    (stage.path / "weights.safetensors").write_bytes(b"x")
    stage.finish()
    longer = Run(stage.run).vae.open(VAEConfig(steps=40), {}, growable=("steps",))
    assert longer.manifest["tracking"] == before


def test_a_tracker_that_refuses_says_what_to_do(stage: Stage, wandb: FakeWandB):
    wandb.refusal = "api_key not configured"
    track_with(["wandb"])
    with pytest.raises(UserError, match=r"refuses: api_key not configured\. .*WANDB_MODE=offline"):
        MetricsLog(stage, 0)


class FakeMLflow(ModuleType):
    """As much of MLflow as is used."""

    class MlflowException(Exception):  # noqa: N818
        pass

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.exceptions = SimpleNamespace(MlflowException=self.MlflowException)
        self.calls: list[tuple[Any, ...]] = []
        self.gone = False

    def MlflowClient(self) -> Any:  # noqa: N802
        def log_batch(run: str, metrics: Any = (), params: Any = ()) -> None:
            if self.gone:
                raise self.MlflowException("no answer")
            self.calls.append(("batch", run, [*metrics], [*params]))

        return SimpleNamespace(
            get_experiment_by_name=lambda name: None,
            create_experiment=lambda name: f"experiment {name}",
            create_run=lambda place, tags, run_name: (
                self.calls.append(("run", place, tags, run_name)),
                SimpleNamespace(info=SimpleNamespace(run_id="r1")),
            )[1],
            update_run=lambda run, status: self.calls.append(("again", run, status)),
            log_batch=log_batch,
            log_image=lambda run, picture, key, step: self.calls.append(("image", run, picture.shape, key, step)),
            set_terminated=lambda run: self.calls.append(("end", run)),
        )


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMLflow:
    fake, entities = FakeMLflow(), ModuleType("mlflow.entities")
    entities.Metric = lambda key, value, timestamp, step: (key, value, step)  # type: ignore[attr-defined]
    entities.Param = lambda key, value: (key, value)  # type: ignore[attr-defined]
    stand_in(monkeypatch, "mlflow", fake, entities)
    return fake


def test_mlflow_gets_everything_and_the_same_run_when_continued(stage: Stage, mlflow: FakeMLflow):
    track_with(["mlflow"])
    log = MetricsLog(stage, 0)
    log.scalars(5, {"loss": 2.0})
    log.picture(5, "seen", np.zeros((4, 6, 3), np.uint8))
    log.close()
    MetricsLog(stage, 5).close()
    (begun, options, *rest) = mlflow.calls
    assert begun[1] == "experiment worldmodels"
    assert begun[2]["run"] == "car"
    assert begun[3] == "car/vae"
    assert ("steps", "20") in options[3]
    assert rest == [
        ("batch", "r1", [("V/loss", 2.0, 5)], []),
        ("image", "r1", (4, 6, 3), "V/seen", 5),
        ("end", "r1"),
        ("again", "r1", "RUNNING"),
        ("end", "r1"),
    ]


def test_a_server_that_is_gone_ends_the_tracking_and_not_the_training(
    stage: Stage, mlflow: FakeMLflow, capsys: pytest.CaptureFixture[str]
):
    track_with(["mlflow"])
    log = MetricsLog(stage, 0)
    mlflow.gone = True
    for step in (5, 10):
        log.scalars(step, {"loss": 2.0})
    log.close()
    assert capsys.readouterr().err.count("MLflow does not answer any more (no answer)") == 1
    assert points(board(stage.path), "V/loss") == [(5, 2.0), (10, 2.0)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_how_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    for command in ("pipeline", "train_images", "sharpen_vae"):
        assert call(command, "--track", name) != 0
        assert f"pip install {name}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
