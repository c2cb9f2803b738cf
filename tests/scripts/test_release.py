"""A released agent: small, complete, and acting as the one it was made from."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from agents import Agent, evaluate
from agents.agent import find_agent, pretrained_agents
from agents.evaluation import save_report
from agents.records.commands import commands, worked_out
from agents.records.costs import costs, rounds_of
from agents.records.experiments import keep
from agents.records.model_card import _origin, action_repeat, pedal
from agents.records.release import compare, release
from rollouts import EnvConfig, UserError
from rollouts.runs.files import file_hash, read_json, write_json
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage
from tests.faults.helpers import call
from tests.scripts.conftest import COMMON
from worldmodels.data.lineage import data_hash
from worldmodels.dream import Dream
from worldmodels.training.checkpoint import load_tensors, save_tensors


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for released agents that is empty."""
    folder = tmp_path / "package" / "pretrained"
    for module in ("rollouts.runs.layout", "agents.agent", "agents.records.release"):
        monkeypatch.setattr(f"{module}.PRETRAINED", folder)
    return folder


def test_a_released_agent_acts_and_dreams_like_the_runs(tiny_run: Path, pretrained: Path):
    folder = release(tiny_run, "toy")
    assert folder == pretrained / "toy" == find_agent("pretrained/toy")
    assert pretrained_agents() == ["pretrained/toy"]
    env = gymnasium.make("worldmodels/Dream-v0", run="pretrained/toy")
    assert env.reset(seed=0)[0].shape == (Agent.load("pretrained/toy").controller.inputs,)
    original, released = Agent.load(tiny_run), Agent.load("pretrained/toy")
    assert torch.equal(original.parameters, released.parameters)
    parity = compare(original, released, seed=3)
    assert 0 < parity.largest_change < 0.02  # half precision shows, but hardly
    ours, theirs = (evaluate(agent, episodes=4)["episodes"] for agent in (tiny_run, "pretrained/toy"))
    np.testing.assert_allclose([e["return"] for e in ours], [e["return"] for e in theirs], atol=0.2)
    dream = Dream(released.model, horizon=5, starts="recorded")
    dream.reset([0, 1])
    assert dream.features().shape == (2, original.controller.inputs)


def test_a_release_holds_what_acting_and_dreaming_need_and_no_more(tiny_run: Path, pretrained: Path):
    folder = release(tiny_run, "toy")
    stages = {f"{stage}/{file}" for stage in ("vae", "mdnrnn", "controller") for file in (
        "config.json", "manifest.json", "weights.safetensors"
    )}  # fmt: skip
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    assert set(files) == stages | {"mdnrnn/starts.safetensors", "README.md"}
    assert set(load_tensors(files["controller/weights.safetensors"])) == {"selected"}
    for name in ("vae", "mdnrnn"):
        assert {t.dtype for t in load_tensors(files[f"{name}/weights.safetensors"]).values()} == {torch.float16}
    texts = [file.read_text() for file in files.values() if file.suffix in (".json", ".md")]
    assert not any(str(tiny_run.parent) in text or "/tmp" in text for text in texts)
    assert [file.name for file in pretrained.iterdir()] == ["toy"]


def test_the_card_tells_the_score_of_the_released_files_once_it_was_measured(tiny_run: Path, pretrained: Path):
    card = release(tiny_run, "toy") / "README.md"
    assert "Not measured yet" in card.read_text()
    report = evaluate("pretrained/toy", episodes=3)
    save_report(report, pretrained / "toy" / "evaluation.json")
    release(tiny_run, "toy")
    text = card.read_text()
    assert all(f"{episode['return']:.1f}" in text for episode in report["episodes"])
    assert f"{report['interval_95_low']:.1f} to {report['interval_95_high']:.1f}" in text
    assert "a score would be 100" in text
    assert read_json(pretrained / "toy" / "evaluation.json") == report


def test_the_card_of_a_run_that_began_with_another_has_the_commands_and_costs_of_both(
    scripted_run: Path, pretrained: Path, tmp_path: Path
):
    evaluation = tmp_path / "score.json"
    save_report(evaluate(scripted_run, episodes=2), evaluation)
    for name, after in (("one", None), ("two", "one")):
        kept = keep(tmp_path / "kept", name, name, "full", "a machine", scripted_run, evaluation, after=after)
    alone = (release(scripted_run, "toy") / "README.md").read_text()
    both = (release(scripted_run, "toy", kept) / "README.md").read_text()
    assert alone.count("worldmodels train-controller") == 1
    assert both.count("worldmodels train-controller") == 2
    assert "cp runs/one/round-1/rollouts/episodes/*.npz runs/two/rollouts/episodes/" in both
    total = read_json(kept / "experiment.json")["costs"]
    assert f"| **all** | | **{sum(cost['environment_steps'] for cost in total):,}** |" in both


def test_the_score_of_other_weights_does_not_stay(tiny_run: Path, pretrained: Path, tmp_path: Path):
    folder = release(tiny_run, "toy")
    save_report(evaluate("pretrained/toy", episodes=1), folder / "evaluation.json")
    changed = shutil.copytree(tiny_run, tmp_path / "changed")
    weights = load_tensors(changed / "controller" / "weights.safetensors")
    save_tensors({name: value + 0.1 for name, value in weights.items()}, changed / "controller" / "weights.safetensors")
    manifest = read_json(changed / "controller" / "manifest.json")
    hashed = {"weights": file_hash(changed / "controller" / "weights.safetensors")}
    write_json(changed / "controller" / "manifest.json", {**manifest, **hashed})
    release(changed, "toy")
    assert not (folder / "evaluation.json").exists()
    assert "Not measured yet" in (folder / "README.md").read_text()


def test_what_cannot_be_released_is_refused_and_what_was_there_stays(
    tiny_run: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = release(tiny_run, "toy")
    before = sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*"))
    with pytest.raises(UserError, match="one word"):
        release(tiny_run, "../toy")
    with monkeypatch.context() as limits:
        limits.setattr("agents.records.release.LARGEST", 1000)
        with pytest.raises(UserError, match=r"more than 1 kB: use a smaller V or M"):
            release(tiny_run, "toy")
    monkeypatch.setattr("agents.records.release.MOST_CHANGE", 0.0)
    with pytest.raises(UserError, match="Half precision changes the actions"):
        release(tiny_run, "toy")
    assert sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*")) == before
    assert [file.name for file in pretrained.iterdir()] == ["toy"]


def test_the_books_of_an_iterated_run(scripted_run: Path):
    rounds = rounds_of(scripted_run)
    assert rounds == rounds_of(scripted_run / "round-1") == [scripted_run, scripted_run / "round-1"]
    books = costs(rounds)
    assert [(cost.round, cost.stage) for cost in books] == [
        (number, stage) for number in (0, 1) for stage in ("rollouts", "vae", "mdnrnn", "controller")
    ]
    assert all(cost.seconds > 0 for cost in books if cost.stage != "vae" or cost.round == 0)
    assert all((cost.environment_steps > 0) == (cost.stage in ("rollouts", "controller")) for cost in books)
    assert not any(cost.imagined_steps for cost in books)


@pytest.mark.slow
@pytest.mark.parametrize("books", [commands, worked_out])
def test_the_commands_in_the_card_make_the_same_run_again(
    books: Callable[..., list[str]], scripted_run: Path, tmp_path: Path
):
    again = tmp_path / "again"
    for command in books(rounds_of(scripted_run), str(again)):
        _, name, *options = shlex.split(command)
        assert call(name.replace("-", "_"), *options, *(COMMON if books is worked_out else ())) == 0
    for folder in (Path(), Path("round-1")):
        weights = folder / "controller" / "weights.safetensors"
        assert (again / weights).read_bytes() == (scripted_run / weights).read_bytes()


def test_what_was_typed_is_quoted_for_another_run_and_without_paths_of_this_machine(scripted_run: Path, tmp_path: Path):
    assert commands(rounds_of(scripted_run), "runs/x")[:3] == [
        "worldmodels collect --run runs/x --preset tiny --workers 0",
        "worldmodels train-vae --run runs/x",
        "worldmodels train-mdnrnn --run runs/x",
    ]
    run = shutil.copytree(scripted_run, tmp_path / "run")
    typed = f"worldmodels train-controller --start-from {tmp_path}/best --run '{tmp_path}/a b' --controller.sigma=1"
    manifest = read_json(run / "controller" / "manifest.json")
    write_json(run / "controller" / "manifest.json", {**manifest, "commands": [typed]})
    expected = "worldmodels train-controller --run 'runs/x y' --start-from best --controller.sigma=1"
    assert expected in commands(rounds_of(run), "runs/x y")


def test_options_that_differ_from_the_preset_are_in_the_commands(tiny_run: Path):
    lines = " ".join(worked_out(rounds_of(tiny_run), "runs/x"))
    assert "--preset laptop" in lines  # what a run without a note is compared with
    assert "--env.id toy" in lines
    assert "--vae.latent-size 4" in lines
    assert "--controller.spec.latent sample" in lines
    assert "--start-from" not in lines


def test_whose_weights_a_run_began_with_is_in_the_commands(tiny_run: Path, tmp_path: Path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    manifest = Stage(run, "controller").manifest
    write_json(run / "controller" / "manifest.json", {**manifest, "inputs": {"start_from": "0123456789ab"}})
    (line,) = (line for line in worked_out(rounds_of(run), "runs/x") if "train-controller" in line)
    assert "--run runs/x --start-from AGENT-0123456789ab --controller." in line


def test_whose_episodes_were_recorded_is_in_the_commands(scripted_run: Path, tmp_path: Path):
    run = shutil.copytree(scripted_run, tmp_path / "run")
    manifest = read_json(run / "rollouts" / "manifest.json")
    for policy, sentence in (
        (
            "agent 0123456789ab noise 0.3",
            "worldmodels collect --preset tiny --run runs/x --agent AGENT-0123456789ab --noise 0.3",
        ),
        ("human", "# runs/x begins with what people drove"),
    ):
        write_json(run / "rollouts" / "manifest.json", {**manifest, "policy": policy})
        assert sentence in worked_out(rounds_of(run), "runs/x")[0]


def test_whether_a_round_learnt_from_people_is_in_the_commands(scripted_run: Path, tmp_path: Path):
    run = shutil.copytree(scripted_run, tmp_path / "run")
    shutil.copytree(run / "rollouts", run / "human" / "rollouts")
    assert "--iterate.human" not in worked_out(rounds_of(run), "runs/x")[-1]
    manifest = read_json(run / "round-1" / "mdnrnn" / "manifest.json")
    manifest["inputs"]["episodes"] = data_hash([one.episodes for one in (Run(run), Run(run).human, Run(run).round(1))])
    write_json(run / "round-1" / "mdnrnn" / "manifest.json", manifest)
    assert "--iterate.human" in worked_out(rounds_of(run), "runs/x")[-1]


def test_a_round_that_began_at_zero_says_so(scripted_run: Path, tmp_path: Path):
    assert "fresh" not in worked_out(rounds_of(scripted_run), "runs/x")[-1]
    run = shutil.copytree(scripted_run, tmp_path / "run")
    manifest = Stage(run / "round-1", "controller").manifest
    manifest["inputs"].pop("start_from")
    write_json(run / "round-1" / "controller" / "manifest.json", manifest)
    assert "--iterate.fresh" in worked_out(rounds_of(run), "runs/x")[-1]


def test_without_runs_the_pretrained_agent_is_shown(
    tiny_run: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    release(tiny_run, "toy")
    monkeypatch.chdir(tmp_path)
    assert call("watch", "--watch.max-steps", 4, *COMMON) == 0
    assert (tmp_path / "watch.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("generation", "average", "sentence"),
    [
        (0, 40, "what the last evolution began with"),
        (7, 1, "the mean of the search distribution at generation 7"),
        (1, 40, "the mean of the search distribution at generation 1"),
        (7, 40, "in the 7 generations up to generation 7"),
        (90, 40, "the average of the search distribution's means in the 40 generations up to generation 90"),
    ],
)
def test_the_card_tells_which_weights_the_agent_is(generation: int, average: int, sentence: str):
    assert sentence in _origin(generation, average)


def test_a_pedal_is_explained_where_there_is_one():
    assert pedal(EnvConfig("carracing-fast")) == pedal(EnvConfig("Unknown-v0")) == ""
    assert "Gas and brake of the action share one output" in pedal(EnvConfig("carracing-fast", pedal=True))


def test_action_repeat_is_explained_where_there_is_any():
    assert action_repeat(EnvConfig("carracing-fast")) == ""
    sentence = action_repeat(EnvConfig("carracing-fast", action_repeat=4))
    assert "every 4 frames" in sentence
    assert "stock `CarRacing-v3`" in sentence
    assert "1,000 frames" in sentence
