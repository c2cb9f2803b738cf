"""What networks multiply in: asked of the device, measured, noted, and kept."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from agents.pipeline.presets import PRESETS
from rollouts import UserError
from rollouts.runs.stage import Stage
from worldmodels.configs import VAEConfig
from worldmodels.training import precision as module
from worldmodels.training.precision import autocast, choose, has_bfloat16, settle

CPU = torch.device("cpu")


def options(config):
    """Every option of a nested configuration, by its path."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from ((f"{field.name}.{path}", inner) for path, inner in options(value))
        else:
            yield field.name, value


@pytest.fixture
def clock(monkeypatch):
    """Steps take as long as they say, by a clock that nothing else moves."""

    class Clock:
        def __init__(self):
            self.now, self.seconds = 0.0, {"float32": 1.0, "bfloat16": 1.0}

        def step(self, precision):
            self.now += self.seconds[precision]

    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(module, "has_bfloat16", lambda device: True)
    return clock


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_asks_for_a_low_precision(name):
    precisions = {path: value for path, value in options(PRESETS[name]) if path.endswith("precision")}
    assert len(precisions) >= 4
    assert set(precisions.values()) <= {"auto", "float32"}


def test_without_bfloat16_it_is_float32_and_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(module, "has_bfloat16", lambda device: False)
    assert choose("auto", CPU, 10**9, lambda precision: pytest.fail("a step was tried"), "V") == "float32"


@pytest.mark.parametrize(("half", "chosen"), [(0.5, "bfloat16"), (0.95, "float32"), (12.0, "float32")])
def test_auto_takes_what_is_clearly_faster(clock, half, chosen, capsys):
    clock.seconds = {"float32": 1.0, "bfloat16": half}
    assert choose("auto", CPU, 10**9, clock.step, "V") == chosen
    assert f"{chosen} it is" in capsys.readouterr().err


def test_a_short_training_is_not_measured(clock):
    clock.seconds = {"float32": 0.1, "bfloat16": 0.01}
    assert choose("auto", CPU, 50, clock.step, "V") == "float32"
    assert clock.now == pytest.approx(0.2)  # one step to warm up, and one


def test_an_explicit_bfloat16_that_is_slower_says_so_with_both_figures(clock, capsys):
    clock.seconds = {"float32": 0.4, "bfloat16": 5.0}
    assert choose("bfloat16", CPU, 10, clock.step, "V") == "bfloat16"
    (line,) = capsys.readouterr().err.splitlines()
    assert "5e+03 ms" in line
    assert "400 ms" in line


def test_bfloat16_that_cannot_be_computed_is_refused_if_asked_for_and_left_if_not(clock):
    def step(precision):
        if precision == "bfloat16":
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")
        clock.step(precision)

    assert choose("auto", CPU, 10**9, step, "M") == "float32"
    with pytest.raises(UserError, match=r"cannot compute M in bfloat16.*choose the precision auto"):
        choose("bfloat16", CPU, 10, step, "M")


def test_the_choice_is_noted_and_kept(clock, tmp_path):
    config = VAEConfig(steps=10)
    stage = Stage(tmp_path, "vae").open(config)
    clock.seconds = {"float32": 1.0, "bfloat16": 0.5}
    assert settle(stage, "auto", CPU, 10**9, clock.step, "V") == "bfloat16"
    (stage.path / "state.pt").write_bytes(b"begun")
    clock.seconds = {"float32": 1.0, "bfloat16": 5.0}  # on another machine, or a busier one
    for again in (config, replace(config, steps=20)):
        stage = Stage(tmp_path, "vae").open(again, growable=("steps",))
        assert settle(stage, "auto", CPU, 10**9, clock.step, "V") == "bfloat16"
        assert stage.manifest["precision"] == "bfloat16"


def test_a_run_of_before_goes_on_in_what_it_was_begun_in(clock, tmp_path):
    """Presets used to name the format; the same preset now says auto."""
    stage = Stage(tmp_path, "vae").open(VAEConfig(precision="bfloat16"))
    (stage.path / "state.pt").write_bytes(b"begun")
    stage = Stage(tmp_path, "vae").open(VAEConfig())
    clock.seconds = {"float32": 0.4, "bfloat16": 5.0}
    assert settle(stage, "auto", CPU, 10**9, clock.step, "V") == "bfloat16"
    assert json.loads((stage.path / "config.json").read_text())["precision"] == "bfloat16"


def test_within_it_products_have_the_format_and_weights_keep_theirs():
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with autocast(CPU, "float32"):
        assert layer(x).dtype == torch.float32
    with autocast(CPU, "bfloat16"):
        assert layer(x).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    assert has_bfloat16(CPU) in (True, False)


def test_no_image_model_asks_for_a_low_precision_by_itself():
    from worldmodels.generative.models.registry import MODELS, preset

    found = set()
    for name in MODELS:
        for size in ("tiny", "quick", "laptop", "photos", "book"):
            with suppress(UserError):  # some sizes are of pictures, or of GANs
                found.add((size, preset(name, size).precision))
    assert found == {(size, "auto") for size in ("tiny", "quick", "laptop", "photos", "book")}
