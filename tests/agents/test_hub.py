"""Hugging Face's layout: what is saved, what comes back, and what is refused. Nothing here asks the network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from agents import Agent
from agents.evaluation import evaluate
from agents.hub import HubAgent
from rollouts.errors import UserError

NAME = "pretrained/carracing"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "car"
    Agent.load(NAME).save_pretrained(folder)
    return folder


def test_an_agent_comes_back_as_it_was(saved: Path):
    before, after = Agent.load(NAME), Agent.from_pretrained(saved)
    assert torch.equal(before.parameters, after.parameters)
    assert after.env == before.env
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert np.array_equal(before.begin(5).act(frame), after.begin(5).act(frame))


def test_the_folder_is_laid_out_for_the_hub(saved: Path):
    config = json.loads((saved / "config.json").read_text())
    assert config["library_name"] == "worldmodels-toolkit"
    assert config["controller"]["parameters"] == 584
    assert {file.suffix for file in saved.rglob("*") if file.is_file()} == {".json", ".md", ".safetensors"}
    card = ModelCard.load(saved / "README.md")
    assert card.data.library_name == "worldmodels-toolkit"
    assert card.data.pipeline_tag == "reinforcement-learning"
    report = json.loads((saved / "evaluation.json").read_text())
    [result] = card.data.eval_results
    assert (result.dataset_name, result.metric_value) == (
        "CarRacing-v3",
        f"{report['mean']:.1f} +/- {report['sd']:.1f}",
    )
    assert card.content.count("library_name") == 1


def test_saving_again_keeps_the_score_and_one_front_matter(saved: Path, tmp_path: Path):
    again = tmp_path / "again"
    Agent.from_pretrained(saved).save_pretrained(again)
    Agent.from_pretrained(saved).save_pretrained(again)
    report = json.loads((again / "evaluation.json").read_text())
    assert report["mean"] == json.loads((saved / "evaluation.json").read_text())["mean"]
    assert (again / "README.md").read_text().count("pipeline_tag") == 1


def test_other_weights_do_not_inherit_the_score(tmp_path: Path):
    agent = Agent.load(NAME)
    other = Agent.of(NAME, agent.spec, agent.parameters + 1, agent.env)
    other.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other" / "evaluation.json").exists()
    assert json.loads((tmp_path / "other" / "config.json").read_text())["score"] is None
    assert "Not measured yet" in (tmp_path / "other" / "README.md").read_text()


def test_a_folder_with_other_things_stays_as_it_is(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="a folder of its own"):
        Agent.load(NAME).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "bert"}


def test_unknown_options_and_damage_are_refused(saved: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no option colour"):
        Agent.from_pretrained(saved, colour="red")
    copy = tmp_path / "copy"
    Agent.from_pretrained(saved).save_pretrained(copy)
    weights = copy / "vae" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        HubAgent.from_pretrained(copy)


def test_an_agent_from_the_hub_is_scored_by_the_protocol(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.evaluation.play", lambda task, weights, seeds, workers: _Outcome(len(seeds)))
    assert evaluate(Agent.from_pretrained(saved), 2)["environment"] == "CarRacing-v3"


class _Outcome:
    def __init__(self, count: int) -> None:
        self.returns, self.lengths = np.zeros(count), np.ones(count, int)
