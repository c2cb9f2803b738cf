"""Interrupted and continued equals uninterrupted, bit for bit, in every stage."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from agents.pipeline.config import PipelineConfig
from agents.pipeline.iterate import iterate
from agents.pipeline.run import run_pipeline
from rollouts.collect import collect
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json, write_json
from rollouts.runs.place import place as here
from tests.faults.helpers import CPU, MICRO, Interrupted, differences, interrupted_at, snapshot
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae
from worldmodels.training.checkpoint import load_state
from worldmodels.vae import VAELoss, vae_loss

pytestmark = pytest.mark.slow  # many trainings that are broken off and continued

DREAM = dataclasses.replace(MICRO.controller, world="dream", temperature=1.1, gate=4)
PGPE_DREAM = dataclasses.replace(DREAM, strategy="pgpe")


def stores(run: Path) -> list[EpisodeStore]:
    return [EpisodeStore(run / "rollouts" / "episodes")]


STAGES: dict[str, Callable[[Path], object]] = {
    "rollouts": lambda run: collect(MICRO.collect, MICRO.env, run, 0),
    "vae": lambda run: fit_vae(MICRO.vae, run, stores(run), CPU),
    "mdnrnn": lambda run: fit_mdn_rnn(MICRO.mdnrnn, run, stores(run), CPU),
    "controller": lambda run: evolve(MICRO.controller, run, MICRO.env, 0, CPU),
    "round-1": lambda run: iterate(MICRO.iterate, run, 0, CPU),
}

#: Where each stage is broken off, one after the other: between checkpoints, while a file is written, at the end.
PLACES = {
    "rollouts": [("rollouts.collect.record_episode", 5), ("numpy.savez_compressed", 3)],
    "vae": [
        ("worldmodels.fit_vae.vae_loss", 7),
        ("os.fsync", 2),
        ("worldmodels.training.loop.save_state", 1),
        ("worldmodels.fit_vae.save_png", 2),
        ("worldmodels.fit_vae.save_tensors", 1),
    ],
    "mdnrnn": [
        ("worldmodels.data.latents.encode_episode", 3),
        ("worldmodels.fit_mdn_rnn.mdn_rnn_loss", 8),
        ("worldmodels.training.loop.MetricsLog.scalars", 2),
        ("worldmodels.fit_mdn_rnn.save_tensors", 1),
        ("worldmodels.fit_mdn_rnn.save_tensors", 2),
    ],
    "controller": [
        ("agents.learning.cma_es.CMAES.tell", 2),
        ("worldmodels.training.loop.MetricsLog.scalars", 1),
        ("agents.fitness.evaluate_lanes", 5),
        ("agents.learning.history.save_state", 1),
        ("agents.learning.learn.save_tensors", 1),
    ],
    "round-1": [
        ("rollouts.collect.record_episode", 4),
        ("worldmodels.fit_vae.vae_loss", 3),
        ("worldmodels.fit_mdn_rnn.mdn_rnn_loss", 5),
        ("agents.learning.cma_es.CMAES.tell", 2),
    ],
}


def before(stage: str, finished: Path, run: Path) -> Path:
    """A copy of a finished run as it was before ``stage``."""
    names = list(STAGES)
    run.mkdir()
    for name in names[: names.index(stage)]:
        shutil.copytree(finished / name, run / name)
    return run


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_broken_off_again_and_again_ends_as_if_it_had_not_been(
    stage: str, finished: Path, tmp_path: Path
):
    run = before(stage, finished, tmp_path / "run")
    for spot, times in PLACES[stage]:
        with interrupted_at(spot, times):
            STAGES[stage](run)
    STAGES[stage](run)
    produced = {"round-1": {"evaluation.json", "real.mp4", "dream.mp4"}}.get(stage, set())
    assert set(differences(finished / stage, run / stage)) == produced  # these three are the pipeline's own


@pytest.mark.parametrize(("config", "strategy"), [(DREAM, "CMAES"), (PGPE_DREAM, "PGPE")])
def test_evolution_in_the_dream_continues_as_if_it_had_not_been_broken_off(
    config: ControllerConfig, strategy: str, finished: Path, tmp_path: Path
):
    whole, parts = (before("controller", finished, tmp_path / name) for name in ("whole", "parts"))
    evolve(config, whole, MICRO.env, 0, CPU)
    for spot, times in ((f"agents.learning.strategies.{strategy}.tell", 3), ("agents.fitness.evaluate_lanes", 2)):
        with interrupted_at(spot, times):
            evolve(config, parts, MICRO.env, 0, CPU)
    evolve(config, parts, MICRO.env, 0, CPU)
    assert differences(whole, parts) == []


def test_a_line_cut_short_by_a_kill_is_done_again(finished: Path, tmp_path: Path):
    run = before("controller", finished, tmp_path / "run")
    with interrupted_at("agents.learning.cma_es.CMAES.tell", 4):
        STAGES["controller"](run)
    for name in ("history.jsonl", "metrics.jsonl"):
        file = run / "controller" / name
        file.write_text(file.read_text()[:-20])
    STAGES["controller"](run)
    assert differences(finished / "controller", run / "controller") == []


@pytest.mark.parametrize("stage", [*STAGES, "pipeline"])
def test_what_is_finished_is_left_as_it_is(stage: str, finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run, copy_function=os.link)
    times = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    if stage == "pipeline":
        run_pipeline(MICRO, run, 0, CPU)
    else:
        STAGES[stage](run)
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == times


def test_a_score_of_other_episodes_or_weights_is_measured_again_and_so_are_the_videos(finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    newest = run / "round-1"
    score, film = newest / "evaluation.json", newest / "real.mp4"

    def again(config: PipelineConfig) -> tuple[list[int], bool]:
        film.write_bytes(b"old")
        run_pipeline(config, run, 0, CPU)
        return [episode["seed"] for episode in read_json(score)["episodes"]], film.read_bytes() != b"old"

    assert again(dataclasses.replace(MICRO, evaluate=EvaluateConfig(2))) == ([0, 1], True)
    assert again(dataclasses.replace(MICRO, evaluate=EvaluateConfig(2, 5))) == ([5, 6], True)
    write_json(score, {**read_json(score), "controller": "of others"})
    assert again(dataclasses.replace(MICRO, evaluate=EvaluateConfig(2, 5))) == ([5, 6], True)
    assert again(dataclasses.replace(MICRO, evaluate=EvaluateConfig(2, 5))) == ([5, 6], False)


def test_the_round_that_is_asked_for_is_scored_though_there_are_later_ones(finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run, copy_function=os.link)
    first = dataclasses.replace(MICRO, iterate=dataclasses.replace(MICRO.iterate, rounds=0))
    run_pipeline(first, run, 0, CPU)
    assert read_json(run / "evaluation.json")["controller"] == file_hash(run / "controller" / "weights.safetensors")
    assert (run / "real.mp4").stat().st_size > 0


@pytest.mark.parametrize("writes", [1, 2])
def test_training_on_survives_an_interruption_at_its_very_beginning(writes: int, finished: Path, tmp_path: Path):
    run = before("controller", finished, tmp_path / "run")
    longer = dataclasses.replace(MICRO.mdnrnn, steps=20)
    with interrupted_at("rollouts.runs.stage.write_json", writes):
        fit_mdn_rnn(longer, run, stores(run), CPU)
    fit_mdn_rnn(longer, run, stores(run), CPU)
    assert '"step": 20' in (run / "mdnrnn" / "metrics.jsonl").read_text()


def test_history_is_never_open_for_writing_as_a_whole(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Truncate-then-write would lose weeks of evolution to a kill at the wrong moment, or to a full disk."""
    run = before("controller", finished, tmp_path / "run")
    with interrupted_at("agents.learning.cma_es.CMAES.tell", 4):
        STAGES["controller"](run)
    history = snapshot(run / "controller")["history.jsonl"]

    def stop(self: Path, *_: object, **__: object) -> int:
        self.open("w").close()
        raise Interrupted

    monkeypatch.setattr(Path, "write_text", stop)
    with pytest.raises(Interrupted):
        STAGES["controller"](run)
    assert snapshot(run / "controller")["history.jsonl"] == history


def test_what_a_killed_process_left_half_written_is_swept_away_and_the_rest_is_not(finished: Path, tmp_path: Path):
    run = before("vae", finished, tmp_path / "run")
    dead, alive = (run / "rollouts" / f".episode.npz.{pid}-{here()}.tmp" for pid in (2**22 + 1, 1))
    for file in (dead, alive):
        file.write_bytes(b"half")
    STAGES["rollouts"](run)
    assert (dead.exists(), alive.exists()) == (False, True)
    assert len(stores(run)[0]) == MICRO.collect.episodes


def test_what_was_kept_before_a_loss_became_nan_can_be_continued(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, calls = before("vae", finished, tmp_path / "run"), iter(range(100))

    def vae_loss_that_breaks(*arguments: object) -> VAELoss:
        loss = vae_loss(*arguments)
        return loss if next(calls) < 5 else VAELoss(*(term * float("nan") for term in loss))

    with monkeypatch.context() as patched:
        patched.setattr("worldmodels.fit_vae.vae_loss", vae_loss_that_breaks)
        with pytest.raises(UserError, match="is no longer a number at step 6"):
            STAGES["vae"](run)
    assert load_state(run / "vae" / "state.pt", CPU)["step"] == 4
    STAGES["vae"](run)
    assert differences(finished / "vae", run / "vae") == []
