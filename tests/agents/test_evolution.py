"""Evolution's books: what a run cost, in the world's own steps and in imagined ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec
from agents.fitness import PoolEvaluator, RealTask
from agents.learning.cma_es import CMAES
from agents.learning.config import ControllerConfig
from agents.learning.learn import _initial_mean, evolve, steps_taken
from agents.learning.learner import Progress, Task, World
from agents.learning.subspace import principal_weights
from agents.standardiser import Standardiser
from rollouts import EnvConfig, UserError
from rollouts.collect import CollectConfig, collect
from rollouts.errors import require_positive
from rollouts.runs.files import read_json, read_json_lines, write_json
from rollouts.runs.layout import PRETRAINED
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from rollouts.seeds import VALIDATION, evolution_seed
from worldmodels import WorldModel
from worldmodels.training.checkpoint import load_state, load_tensors, save_state, save_tensors

#: 2 generations of 4 candidates x 3 episodes of at most 20 decisions; the second is validated on 2 whole episodes.
CONFIG = ControllerConfig(
    spec=ControllerSpec("z"),
    generations=2,
    population=4,
    rollouts=3,
    max_steps=20,
    validation_every=2,
    validation_episodes=2,
)


def test_decisions_are_counted_as_the_steps_of_the_environment_that_they_last():
    history = [{"steps": 10}, {"steps": 20, "validation": 1.0, "validation_steps": 5}]
    assert steps_taken(history, "real", 4) == {"environment_steps": 140, "imagined_steps": 0}
    assert steps_taken(history, "dream", 4) == {"environment_steps": 20, "imagined_steps": 30}


@pytest.mark.parametrize("world", ["real", "dream"])
def test_the_manifest_tells_real_steps_from_imagined_ones(world: str, tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    config = dataclasses.replace(CONFIG, world=world, strategy="pgpe")
    evolve(config, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    history = read_json_lines(tmp_path / "controller" / "history.jsonl", "fitness")
    validation = history[1]["validation_steps"]
    fitness = sum(record["steps"] for record in history)
    assert 0 < validation <= 2 * 50
    assert 0 < fitness <= 2 * 4 * 3 * 20
    assert "validation_steps" not in history[0]
    manifest = Stage(tmp_path, "controller").manifest
    counted = (manifest["environment_steps"], manifest["imagined_steps"])
    assert counted == ((fitness + validation, 0) if world == "real" else (validation, fitness))
    assert manifest["seconds"] >= sum(record["seconds"] for record in history) - 0.1


def test_a_recording_counts_the_steps_between_decisions(tmp_path: Path):
    env = EnvConfig("toy", action_repeat=5)
    collect(CollectConfig(episodes=3, max_steps=4), env, tmp_path, workers=0)
    manifest = Stage(tmp_path, "rollouts").manifest
    assert 0 < manifest["steps"] <= 12
    assert manifest["environment_steps"] == 5 * manifest["steps"]


def test_what_an_evolution_began_with_is_kept_if_nothing_better_is_found(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Validation of the initial mean is part of generation 0, counted, and known again after an interruption."""
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    start = load_tensors(tiny_run / "controller" / "weights.safetensors")["selected"]
    scores = iter([7.0, 3.0, 5.0])

    def validation(real: object, seeds: object, weights: np.ndarray) -> dict[str, float]:
        first = not validated
        validated.append(weights)
        np.testing.assert_array_equal(weights, start.double().numpy()) if first else None
        return {"validation": next(scores), "validation_sd": 0.0, "validation_steps": 11, "validation_seconds": 0.0}

    validated: list[np.ndarray] = []
    monkeypatch.setattr("agents.learning.learn._validation", validation)
    config = dataclasses.replace(CONFIG, spec=ControllerSpec("zh"), validation_every=1)
    arguments = (EnvConfig("toy"), 0, torch.device("cpu"), tiny_run / "controller")
    evolve(dataclasses.replace(config, generations=1), tmp_path, *arguments)
    evolve(config, tmp_path, *arguments)  # generation 0 is read again, generation 1 is new
    assert len(validated) == 3
    stage = Stage(tmp_path, "controller")
    assert (stage.manifest["selected_generation"], stage.manifest["validation"]) == (-1, 7.0)
    assert "what it began with is kept; it scored 7.0" in capsys.readouterr().err
    torch.testing.assert_close(load_tensors(stage.path / "weights.safetensors")["selected"], start, rtol=0, atol=0)
    fitness = sum(record["steps"] for record in read_json_lines(stage.path / "history.jsonl", "fitness"))
    assert stage.manifest["environment_steps"] == fitness + 3 * 11


def test_evolution_along_principal_directions_continues_as_if_it_had_not_been_broken_off(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where the same directions come out with other signs, as they may on another machine."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = dataclasses.replace(CONFIG, spec=ControllerSpec("zh"), principal=3, validation_every=1)
    arguments = (EnvConfig("toy"), 0, torch.device("cpu"), tiny_run / "controller")
    for run, generations in ((whole, (2,)), (parts, (1, 2))):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, run / stage)
        for count in generations:
            evolve(dataclasses.replace(config, generations=count), run, *arguments)
            monkeypatch.setattr("agents.learning.evolution.principal_weights", lambda *_: -principal_weights(*_))
        monkeypatch.undo()
    ends = [load_tensors(run / "controller" / "weights.safetensors") for run in (whole, parts)]
    for name in ("selected", "mean", "best"):
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=0)
    moved = ends[0]["mean"] - load_tensors(tiny_run / "controller" / "weights.safetensors")["selected"]
    assert moved.abs().max() > 1e-3
    directions = principal_weights(WorldModel.load(whole), config.spec, 3)
    left = moved.double().numpy() - directions @ np.linalg.lstsq(directions, moved.double().numpy(), rcond=None)[0]
    assert np.abs(left).max() < 1e-6
    kept = parts / "controller" / "directions.safetensors"
    save_tensors({"directions": -load_tensors(kept)["directions"]}, kept)
    with pytest.raises(UserError, match=r"directions\.safetensors is damaged, or of another run"):
        evolve(dataclasses.replace(config, generations=3), parts, *arguments)


def test_the_agent_is_the_average_of_the_last_means_and_may_become_so_later(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    validated: list[np.ndarray] = []
    scores = iter([9.0, 8.0, 1.0, 2.0])

    def validation(real: object, seeds: object, weights: np.ndarray) -> dict[str, float]:
        validated.append(weights)
        return {"validation": next(scores), "validation_sd": 0.0, "validation_steps": 1, "validation_seconds": 0.0}

    monkeypatch.setattr("agents.learning.learn._validation", validation)
    config = dataclasses.replace(CONFIG, validation_every=1)
    evolve(config, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    later = dataclasses.replace(config, generations=4, average=3)
    evolve(later, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    first, second, third_average, last_average = validated
    last = load_tensors(tmp_path / "controller" / "weights.safetensors")
    third = 3 * third_average - first - second
    np.testing.assert_allclose((second + third + last["mean"].numpy()) / 3, last_average, atol=1e-6)
    # 9 and 8 were the scores of single means, which are no candidates any more
    np.testing.assert_allclose(last["selected"], last_average, atol=1e-6)
    assert Stage(tmp_path, "controller").manifest["validation"] == 2.0


@pytest.mark.parametrize(
    ("begins", "scores", "kept"), [(False, [9.0, 3.0], 1), (True, [1.0, 9.0, 3.0], 1), (True, [5.0, 9.0, 3.0], -1)]
)
def test_an_average_that_alone_is_raised_is_scored_against_what_evolution_began_with(
    begins: bool, scores: list[float], kept: int, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    validated: list[np.ndarray] = []
    left = iter(scores)

    def validation(real: object, seeds: object, weights: np.ndarray) -> dict[str, float]:
        validated.append(weights)
        return {"validation": next(left), "validation_sd": 0.0, "validation_steps": 7, "validation_seconds": 1.0}

    monkeypatch.setattr("agents.learning.learn._validation", validation)
    config = dataclasses.replace(CONFIG, spec=ControllerSpec("zh"))
    arguments = (EnvConfig("toy"), 0, torch.device("cpu"), tiny_run / "controller" if begins else None)
    evolve(config, tmp_path, *arguments)
    path = evolve(dataclasses.replace(config, average=2), tmp_path, *arguments)
    assert next(left, None) is None
    history, manifest = read_json_lines(path / "history.jsonl", "fitness"), Stage(tmp_path, "controller").manifest
    assert [history[1][name] for name in ("averaged", "validation", "validation_steps")] == [2, 3.0, 14]
    assert (manifest["selected_generation"], manifest["validation"]) == (kept, 3.0 if kept == 1 else scores[0])
    selected = load_tensors(path / "weights.safetensors")["selected"].numpy()
    np.testing.assert_allclose(selected, validated[-1 if kept == 1 else 0], atol=1e-6)
    assert not np.allclose(validated[-1], validated[-2])  # an average, not the last mean
    assert manifest["environment_steps"] == sum(record["steps"] for record in history) + 7 * len(scores)
    evolve(dataclasses.replace(config, average=2), tmp_path, *arguments)  # no further score is asked for


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "pgpe", "population": 5}, "the population must be even, got 5"),
        ({"principal": -1}, r"--controller\.principal must be positive, got -1"),
        ({"spec": ControllerSpec("zh", hidden=3), "principal": 2}, "without a hidden layer"),
        ({"spec": ControllerSpec("zh", bias=False, standardised=True)}, "need --controller.spec.bias"),
        ({"spec": ControllerSpec("zha", standardised=True), "principal": 2}, "not of standardised ones"),
        ({"racing": 1.0}, "--controller.racing must lie between 0 and 1"),
        ({"racing": 0.5, "rollouts": 1}, "got 0.5 with 1 rollouts"),
        ({"racing": 0.5, "ranked": True}, "and --controller.ranked"),
        ({"restarts": 1}, "must be 0 or at least 2, to choose among, got 1"),
        ({"centred": True, "principal": 3}, "principal directions are so"),
        ({"seed": -1}, r"--controller\.seed must be 0 to .*, got -1"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(change: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CONFIG, **change).check()


@pytest.mark.parametrize(("before", "parameters"), [("z", 9), ("zh", 21), ("zch", 21), ("z", 5)])
def test_only_what_fits_can_be_a_start(before: str, parameters: int, tmp_path: Path, make_model):
    """The model has 4 latents, so [z] has 5 parameters and [z, h] 13."""
    save_tensors({"selected": torch.ones(parameters)}, tmp_path / "controller" / "weights.safetensors")
    spec = {"features": before, "hidden": 0, "bias": True}  # as files were before there were further options
    write_json(tmp_path / "controller" / "manifest.json", {"format": 1, "spec": spec})
    model = make_model()
    larger = ControllerSpec("zh")
    controller = larger.build(model)
    if parameters == 5:
        assert _initial_mean(controller, larger, model, tmp_path / "controller").sum() == 5
        return
    with pytest.raises(UserError, match=rf"only a linear one can grow, .* --controller.spec.features {before}\."):
        _initial_mean(controller, larger, model, tmp_path / "controller")


def test_a_start_acts_the_same_where_more_is_seen_and_all_of_it_standardised(tmp_path: Path, make_model):
    model, lanes = make_model(), 5
    plain, larger = ControllerSpec("z"), ControllerSpec("zha", standardised=True)
    weights = torch.randn(5)
    save_tensors({"selected": weights}, tmp_path / "controller" / "weights.safetensors")
    write_json(tmp_path / "controller" / "manifest.json", {"format": 1, "spec": config_to_dict(plain)})
    controller = larger.build(model)
    start = torch.tensor(_initial_mean(controller, larger, model, tmp_path / "controller")).float()
    seen = torch.randn(lanes, 4 + 8 + 1) / 2
    torch.testing.assert_close(controller.act(start, seen), plain.build(model).act(weights, seen[:, :4]))
    save_tensors(
        {"selected": start, **controller.standardiser.tensors()}, tmp_path / "b" / "controller" / "weights.safetensors"
    )
    write_json(tmp_path / "b" / "controller" / "manifest.json", {"format": 1, "spec": config_to_dict(larger)})
    again = _initial_mean(controller, larger, model, tmp_path / "b" / "controller")
    np.testing.assert_allclose(again, start.numpy(), atol=1e-5)


def test_what_c_is_standardised_with_is_kept_with_it_and_used_by_the_agent(tiny_run: Path, tmp_path: Path, play_alone):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    config = dataclasses.replace(CONFIG, spec=ControllerSpec("zha", latent="mean", standardised=True), max_steps=50)
    evolve(config, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    measured = Standardiser.of(WorldModel.load(tmp_path), "zha")
    (tmp_path / "mdnrnn" / "starts.safetensors").unlink()  # from here on only what is kept with C can be used
    agent = Agent.load(tmp_path)
    torch.testing.assert_close(agent.controller.standardiser.mean, measured.mean)
    torch.testing.assert_close(agent.controller.standardiser.sd, measured.sd)
    seed = VALIDATION
    task = RealTask(agent.model, agent.env, agent.spec, agent.controller.standardiser)
    with PoolEvaluator(task, 0) as played:
        outcome = played(agent.parameters[None].double().numpy(), [seed], 50)
    assert outcome.returns.mean() == pytest.approx(play_alone(agent, seed)[0], rel=1e-4)


def test_the_best_of_some_tries_is_evolved_on_and_all_are_paid_for(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    config = dataclasses.replace(CONFIG, restarts=3, restart_generations=2, sigma=0.5)
    arguments = (config, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    path = evolve(*arguments)
    tries = [Stage(tmp_path / "restarts" / str(number), "controller") for number in range(3)]
    assert [stage.config(ControllerConfig).seed for stage in tries] == [1, 2, 3]
    scores = [stage.manifest["validation"] for stage in tries]
    assert len(set(scores)) > 1
    records = read_json_lines(path / "history.jsonl", "fitness")
    assert records[0]["initial_validation"] == pytest.approx(max(scores))
    own = steps_taken(records, "real", 1)["environment_steps"]
    paid = own + sum(stage.manifest["environment_steps"] for stage in tries)
    assert Stage(tmp_path, "controller").manifest["environment_steps"] == paid
    before = (path / "weights.safetensors").read_bytes()
    evolve(*arguments)  # all is there: nothing is evolved again
    assert (path / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("change", [{"ranked": True}, {"racing": 0.5}], ids=str)
def test_ranks_are_told_where_asked_for_and_told_again_to_continue(change, tiny_run: Path, tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = dataclasses.replace(CONFIG, **change)
    for run, generations in ((whole, (2,)), (parts, (1, 2))):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, run / stage)
        for count in generations:
            evolve(dataclasses.replace(config, generations=count), run, EnvConfig("toy"), 0, torch.device("cpu"))
    ends = [load_tensors(run / "controller" / "weights.safetensors")["mean"] for run in (whole, parts)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)
    for record in read_json_lines(whole / "controller" / "history.jsonl", "fitness"):
        assert sum(record["told"]) == pytest.approx(0)
        assert np.abs(record["told"]).max() <= 0.5
        assert len(record["told"]) == len(record["fitness"]) == 4


def tells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every generation that CMA-ES is told."""
    calls, tell = list[int](), CMAES.tell
    monkeypatch.setattr(CMAES, "tell", lambda self, fitness: (calls.append(1), tell(self, fitness))[1])
    return calls


@pytest.mark.parametrize("state", ["there", "lost", "of another history"])
def test_it_is_continued_by_its_state_and_without_one_by_being_told_again(
    state: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    arguments = (tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    folder = evolve(dataclasses.replace(CONFIG, generations=3), *arguments)
    if state == "lost":  # as in runs of before
        (folder / "state.pt").unlink()
    if state == "of another history":
        saved = load_state(folder / "state.pt", torch.device("cpu"))
        save_state({**saved, "history": "0" * 12}, folder / "state.pt")
    calls = tells(monkeypatch)
    evolve(dataclasses.replace(CONFIG, generations=4), *arguments)
    assert len(calls) == (2 if state == "there" else 4)  # a state is put into an optimiser of one generation
    together = tmp_path / "together"
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, together / stage)
    evolve(dataclasses.replace(CONFIG, generations=4), together, *arguments[1:])
    ends = [load_tensors(run / "controller" / "weights.safetensors") for run in (tmp_path, together)]
    for name in ("mean", "best"):
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=0)


@pytest.mark.parametrize("population", [4, 5, 6, 16])
def test_a_state_goes_on_as_the_optimiser_itself_whatever_became_of_its_candidates(population: int):
    """Populations below six hold mirrors of the worst candidates, where these were no mirrors themselves."""
    for seed in range(6):
        fitness = np.random.default_rng(seed).standard_normal((10, population))
        one, states = CMAES(np.zeros(13), 0.3, population, seed), []
        for values in fitness:
            states.append(one.state)
            one.ask()
            one.tell(values)
        for begin in range(1, 10):
            other = CMAES(np.zeros(13), 0.3, population, seed)
            assert other.restore(states[begin])
            for values in fitness[begin:]:
                other.ask()
                other.tell(values)
            np.testing.assert_array_equal(one.mean, other.mean)


@dataclasses.dataclass(frozen=True)
class RandomSearchConfig:
    """Options of a learner of 30 lines: try weights nearby, keep the better ones."""

    worlds: ClassVar[Sequence[str]] = ("real", "dream")
    reach: float = 0.5
    """Standard deviation of what is tried."""
    episodes: int = 4
    """Episodes of a trial."""

    def check(self) -> None:
        require_positive(self, ("reach", "episodes"), "controller.random-search.")

    def shape(self, spec: ControllerSpec) -> ControllerSpec:
        return spec

    def decisions(self, max_steps: int) -> int:
        return self.episodes * max_steps

    def begin(self, task: Task) -> RandomSearch:
        return RandomSearch(self, task)


class RandomSearch:
    def __init__(self, options: RandomSearchConfig, task: Task) -> None:
        self.options, self.seed, self.weights, self.score = options, task.seed, task.initial, -np.inf
        self.results = {}

    @property
    def state(self) -> dict[str, Any]:
        return {"weights": torch.from_numpy(self.weights), "score": self.score}

    def restore(self, state: Mapping[str, Any]) -> bool:
        self.weights, self.score = state["weights"].numpy(), state["score"]
        return True

    def repeat(self, record: Mapping[str, Any]) -> bool:
        return False

    def improve(self, world: World, iteration: int) -> Progress:
        noise = np.random.default_rng([self.seed, iteration]).standard_normal(len(self.weights))
        tried = self.weights + self.options.reach * noise
        seeds = [evolution_seed(self.seed, iteration, episode) for episode in range(self.options.episodes)]
        outcome = world.evaluate(tried[None], seeds)
        score = float(outcome.returns.mean())
        if score > self.score:
            self.weights, self.score = tried, score
        return Progress(outcome.returns, int(outcome.lengths.sum()), {"best": self.score})


@dataclasses.dataclass(frozen=True)
class Searching(ControllerConfig):
    """The one line that registers it; in the package it would stand in ``ControllerConfig`` itself."""

    random_search: RandomSearchConfig = dataclasses.field(default_factory=RandomSearchConfig)


@pytest.mark.parametrize("world", ["real", "dream"])
def test_another_learner_is_one_class_and_one_field_and_is_continued_like_the_others(
    world: str, tiny_run: Path, tmp_path: Path
):
    config = Searching(
        learner="random_search",
        world=world,
        spec=ControllerSpec("zh"),
        max_steps=20,
        validation_every=2,
        validation_episodes=2,
        random_search=RandomSearchConfig(episodes=2),
    )
    ends = []
    for name, counts in (("whole", (4,)), ("parts", (1, 4))):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
        for count in counts:
            arguments = (tmp_path / name, EnvConfig("toy"), 0, torch.device("cpu"))
            folder = evolve(dataclasses.replace(config, generations=count), *arguments)
        ends.append(load_tensors(folder / "weights.safetensors"))
        history = read_json_lines(folder / "history.jsonl", "fitness")
        assert [len(record["fitness"]) for record in history] == [2] * 4
        assert history[-1]["best"] == max(float(np.mean(record["fitness"])) for record in history)
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)
    assert Agent.load(tmp_path / "whole").controller.parameter_count == len(ends[0]["selected"]) == 21


def test_a_learner_that_does_not_exist_is_refused_by_name():
    with pytest.raises(UserError, match=r"no learner 'ants'; --controller.learner takes evolution.*, random_search"):
        Searching(learner="ants").check()
    with pytest.raises(UserError, match=r"--controller.random-search.episodes must be positive, got 0"):
        Searching(learner="random_search", random_search=RandomSearchConfig(episodes=0)).check()


@pytest.mark.parametrize("name", ["carracing_dream", "takecover"])
def test_options_from_before_there_were_other_learners_are_read(name: str):
    """They are flat, as evolution's still are."""
    stage = Stage(PRETRAINED / name, "controller")
    saved, config = read_json(stage.path / "config.json"), stage.config(ControllerConfig)
    assert "learner" not in saved
    assert (config.learner, config.population, config.sigma) == ("evolution", saved["population"], saved["sigma"])
    assert config.options is config
    assert config.controller is config.spec
