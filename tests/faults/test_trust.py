"""Runs of other people: nothing in them makes this machine import or run anything that was not asked for here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.agent import Agent
from rollouts.envs import trust
from rollouts.envs.config import EnvConfig
from rollouts.envs.trust import note_typed, recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import Facts, read_json, write_json
from rollouts.runs.options import config_to_dict
from tests.faults.helpers import call
from worldmodels import WorldModel

ID = "payload_of_evil:X-v0"


@pytest.fixture
def evil(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run whose manifests name a module that lies beside it, and that leaves a trace when it is imported."""
    run = Path(shutil.copytree(finished, tmp_path / "evil"))
    (tmp_path / "payload_of_evil.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'executed')!r}).touch()\n"
        "import gymnasium\n"
        "gymnasium.register('X-v0', 'rollouts.envs.toy:ToyEnv', max_episode_steps=50)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for manifest in run.rglob("manifest.json"):
        facts = read_json(manifest)
        if "env" in facts:
            write_json(manifest, {**facts, "env": {**facts["env"], "id": ID}})
    yield run
    note_typed([])
    sys.modules.pop("payload_of_evil", None)


def executed(run: Path) -> bool:
    return run.with_name("executed").exists()


COMMANDS = (
    ("watch", "--agent", "RUN", "--out", "OUT/a.mp4"),
    ("watch", "--agent", "RUN", "--watch.world", "dream", "--out", "OUT/a.mp4"),
    ("evaluate", "--agent", "RUN", "--episodes", "1"),
    ("evaluate", "--agent", "RUN", "--episodes", "1", "--env.id", "toy"),
    ("collect", "--agent", "RUN", "--run", "OUT/more"),
    ("collect", "--run", "RUN"),
    ("train_mdnrnn", "--run", "RUN"),
    ("train_controller", "--run", "RUN"),
    ("pipeline", "--run", "RUN"),
    ("iterate", "--run", "RUN"),
    ("release", "--agent", "RUN", "--name", "evil"),
    ("export_page", "--agent", "RUN", "--out", "OUT/page"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:1]))
def test_no_command_imports_what_a_run_names(
    words: tuple[str, ...], evil: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert call(*(word.replace("RUN", str(evil)).replace("OUT", str(tmp_path)) for word in words)) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert "payload_of_evil" in sentence
    assert "--trust" in sentence
    assert not executed(evil)


@pytest.mark.parametrize("load", [Agent.load, WorldModel.load])
def test_no_program_does_either_unless_it_imported_the_module_itself(load, evil: Path):
    with pytest.raises(UserError, match="a program of your own does 'import payload_of_evil' first"):
        load(evil)
    assert not executed(evil)
    __import__("payload_of_evil")
    assert executed(evil)
    load(evil)


def test_after_trust_it_is_imported(evil: Path, tmp_path: Path):
    command = ("evaluate", "--agent", evil, "--episodes", 1, "--workers", 0)
    assert call(*command) == 2
    assert not executed(evil)
    call(*command, "--trust")  # refused later, as another world than that of its M
    assert executed(evil)


@pytest.mark.parametrize("words", [["--env.id", ID], [f"--env.id={ID}"], ["--trust"]])
def test_what_was_typed_is_trusted_on_that_command_line_alone(words: list[str]):
    facts = Facts({"env": config_to_dict(EnvConfig(ID))}, Path("manifest.json"))
    note_typed(words)
    assert recorded_env(facts).id == ID
    note_typed(["--env.id", "payload_of_evil:Y-v0"])
    with pytest.raises(UserError, match=r"manifest\.json asks for the environment payload_of_evil:X-v0"):
        recorded_env(facts)
    note_typed([])
    assert not trust._everything


@pytest.mark.parametrize("env_id", ["carracing", "toy", "CartPole-v1", "ale_py:ALE/Pong-v5", "ALE/Pong-v5"])
def test_presets_plain_ids_and_known_packages_are_as_before(env_id: str):
    assert recorded_env({"env": config_to_dict(EnvConfig(env_id))}).id == env_id


@pytest.mark.parametrize(
    "option",
    [("vizdoom_path", "engine"), ("scenario", "/tmp/x.cfg"), ("make", "os:system"), ("exe", "a"), ("f", "a\\b")],
)
def test_a_run_hands_no_path_to_an_environment(option: tuple[str, str]):
    manifest = {"env": config_to_dict(EnvConfig("takecover", kwargs=dict([option])))}
    with pytest.raises(UserError, match=f"hands {option[0]}="):
        recorded_env(manifest)
    note_typed(["--trust"])
    assert recorded_env(manifest).kwargs == dict([option])
    note_typed([])
    harmless = {"frame_skip": "2", "continuous": "false", "screen_resolution": "RES_640X480"}
    assert recorded_env({"env": config_to_dict(EnvConfig("takecover", kwargs=harmless))}).kwargs == harmless
