"""A user's mistake: exit status 2, one sentence that says what to do, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.helpers import call
from tests.scripts.conftest import COMMON

Refused = Callable[..., str]


def replace(file: Path, content: bytes | str) -> None:
    """Other content for a file that may be a link."""
    file.unlink()
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def edit(file: Path, **changes: object) -> None:
    facts = {**json.loads(file.read_text()), **changes}
    replace(file, json.dumps({name: value for name, value in facts.items() if name != "check"}))


@pytest.mark.parametrize(
    ("script", "kept", "missing"),
    [
        ("train_vae", (), "collect.py"),
        ("train_mdnrnn", (), "collect.py"),
        ("train_mdnrnn", ("rollouts",), "train_vae.py"),
        ("train_controller", (), "train_vae.py"),
        ("train_controller", ("rollouts", "vae"), "train_mdnrnn.py"),
        ("iterate", (), "train_controller.py"),
        ("iterate", ("rollouts", "vae", "mdnrnn"), "train_controller.py"),
    ],
)
def test_a_missing_stage_is_named_with_the_script_that_makes_it(
    script: str, kept: tuple[str, ...], missing: str, run: Path, refused: Refused
):
    for folder in run.iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)
    assert f"scripts/{missing} --run {run}" in refused(script, "--run", run)


@pytest.mark.parametrize("script", ["evaluate", "watch"])
def test_an_agent_that_is_not_there_or_not_finished_is_refused(script: str, tmp_path: Path, refused: Refused):
    assert "There is no agent at nowhere" in refused(script, "--agent", "nowhere")
    assert "There is no agent at pretrained/nobody" in refused(script, "--agent", "pretrained/nobody")
    assert "train_controller.py" in refused(script, "--agent", tmp_path)


def test_without_any_run_the_way_to_start_one_is_told(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agents.agent.PRETRAINED", tmp_path / "pretrained")
    for script in ("train_vae", "train_mdnrnn", "train_controller", "iterate", "evaluate", "watch"):
        assert "There is no run under runs/ yet" in refused(script)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--preset", "huge"),
            "There is no preset 'huge'; choose one of tiny, quick, laptop, sac, paper, takecover, takecover-ppo.",
        ),
        (("--env.id", "NoSuchWorld-v0"), "'NoSuchWorld-v0' could not be made"),
        (("--env.id", "no_such_module:World-v0"), "could not be made"),
        (("--env.id", "CartPole-v1"), "CartPole-v1 has no image observations"),
        (("--env.kwargs", "no_such_option", "1"), "could not be made"),
        (("--env.crop", "0", "99", "0", "64"), "does not fit frames of (64, 64)"),
        (("--env.size", "0"), "must be positive"),
        (("--env.max-episode-steps", "-1"), "must be positive"),
        (("--collect.episodes", "0"), "must be at least 1"),
        (("--collect.max-steps", "0"), "must be at least 1"),
    ],
)
def test_collecting_what_cannot_be_is_refused(arguments: tuple[str, ...], message: str, refused: Refused):
    assert message in refused("collect", "--run", "new", "--preset", "tiny", *arguments)
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train_vae", ("--vae.steps", 0), "--vae.steps must be positive"),
        ("train_vae", ("--vae.batch-size", 10_000), "fewer than one batch"),
        ("train_vae", ("--device", "cuda:77"), "cannot be used here"),
        ("train_mdnrnn", ("--mdnrnn.burn-in", 99), "--mdnrnn.burn-in must be shorter"),
        ("train_controller", ("--controller.temperature", -1), "temperature cannot be negative"),
        ("train_controller", ("--controller.population", 1), "at least 4"),
        ("train_controller", ("--env.id", "carracing"), "Use the model's own environment"),
        ("iterate", ("--iterate.rounds", -1), "cannot be negative"),
        ("iterate", ("--iterate.refit-vae", -1), "--iterate.refit-vae cannot be negative"),
        ("iterate", ("--iterate.noise", "nan"), "--iterate.noise must be a finite number"),
        ("iterate", ("--iterate.mdnrnn.seed", -1), "--iterate.mdnrnn.seed must be 0 to"),
        ("iterate", ("--iterate.controller.sigma", "inf"), "--iterate.controller.sigma must be a finite number"),
        ("train_vae", ("--vae.learning-rate", "nan"), "--vae.learning-rate must be a finite number"),
        ("train_vae", ("--vae.seed", -1), "--vae.seed must be 0 to"),
        ("train_mdnrnn", ("--mdnrnn.seed", -1), "--mdnrnn.seed must be 0 to"),
        ("train_mdnrnn", ("--mdnrnn.reward-weight", "inf"), "--mdnrnn.reward-weight must be a finite number"),
        ("train_controller", ("--controller.seed", 2**63), "--controller.seed must be a finite number of at most"),
        ("train_controller", ("--controller.temperature", "nan"), "--controller.temperature must be a finite number"),
        ("sharpen_vae", ("--seed", -1), "--seed must be 0 to"),
        ("sweep_temperature", ("--sweep.temperatures", "nan"), "must be a finite number"),
        ("watch", ("--watch.seed", -1), "--watch.seed must be 0 to"),
        ("evaluate", ("--episodes", 0), "At least one episode"),
        ("evaluate", ("--seed", -1), "test seeds"),
        ("evaluate", ("--env.id", "CartPole-v1"), "preprocessing"),
        ("watch", ("--watch.world", "dream", "--watch.temperature", -0.5), "temperature cannot be negative"),
        ("watch", ("--watch.every", 0), "at least 1"),
        ("watch", ("--out", "video.avi"), ".mp4 or .gif, not .avi"),
        ("watch", ("--out", "video"), ".mp4 or .gif, not without a suffix"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    script: str, arguments: tuple[object, ...], message: str, run: Path, refused: Refused
):
    if script in ("train_vae", "train_mdnrnn", "train_controller"):
        shutil.rmtree(run / {"train_vae": "vae", "train_mdnrnn": "mdnrnn", "train_controller": "controller"}[script])
    name = "--agent" if script in ("evaluate", "watch") else "--run"
    assert message in refused(script, name, run, *arguments)


@pytest.mark.parametrize(
    "option",
    [
        ("--vae.seed", -1),
        ("--mdnrnn.learning-rate", "nan"),
        ("--controller.sigma", "inf"),
        ("--iterate.controller.population", 1),
        ("--iterate.vae.steps", 0),
        ("--evaluate.seed", -1),
        ("--watch.temperature", -1),
    ],
)
def test_the_pipeline_checks_the_options_of_all_stages_before_the_first(option: tuple[object, ...], refused: Refused):
    sentence = refused("pipeline", "--preset", "tiny", "--run", "new", *option)
    assert str(option[0]) in sentence or "population of at least 4" in sentence or "test seeds" in sentence
    assert not Path("new").exists()


def test_suggested_commands_can_be_pasted_into_a_shell(refused: Refused):
    assert call("collect", "--preset", "tiny", "--run", "a 'b'", "--collect.episodes", 1, *COMMON) == 0
    suggested = refused("train_controller", "--run", "a 'b'").partition("Make it first: ")[2]
    assert shlex.split(suggested)[-2:] == ["--run", "a 'b'"]


@pytest.mark.parametrize("arguments", [("--vae.no-such-option", "1"), ("--vae.steps", "many"), ("--precision",)])
def test_an_option_that_does_not_exist_or_does_not_parse_is_refused(
    arguments: tuple[str, ...], run: Path, capsys: pytest.CaptureFixture[str]
):
    assert call("train_vae", "--run", run, *arguments) == 2
    output = capsys.readouterr()
    assert arguments[0] in output.err
    assert "Traceback" not in output.err


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("collect", ("--collect.max-steps", 7), "max_steps was 30, is now 7"),
        ("collect", ("--collect.episodes", 3), "episodes was 8, is now 3"),
        ("train_vae", ("--vae.batch-size", 3), "batch_size was 8, is now 3"),
        ("train_vae", ("--vae.steps", 3), "steps was 9, is now 3"),
        ("train_mdnrnn", ("--mdnrnn.hidden-size", 3), "hidden_size was 8, is now 3"),
        ("train_controller", ("--controller.sigma", 3), "sigma was 0.3, is now 3"),
        ("iterate", ("--iterate.controller.sigma", 3), "sigma was 0.3, is now 3"),
        ("train_vae", ("--preset", "quick"), "was made with other options"),
    ],
)
def test_other_options_for_a_stage_that_exists_are_refused(
    script: str, arguments: tuple[object, ...], message: str, run: Path, refused: Refused
):
    assert message in refused(script, "--run", run, *arguments)


def test_options_may_still_change_after_a_first_command_that_was_refused(run: Path, refused: Refused):
    shutil.rmtree(run / "vae")
    assert "fewer than one batch" in refused("train_vae", "--run", run, "--vae.batch-size", 10_000)
    assert call("train_vae", "--run", run, "--vae.batch-size", 4, "--vae.steps", 2, *COMMON) == 0


DAMAGED = "is damaged"
TRUNCATED = b"PK\x03\x04 and then nothing"


@pytest.mark.parametrize(
    ("file", "content", "script", "message"),
    [
        ("vae/state.pt", TRUNCATED, "train_vae", DAMAGED),
        ("mdnrnn/state.pt", b"", "train_mdnrnn", DAMAGED),
        ("vae/weights.safetensors", b"\x08", "train_controller", DAMAGED),
        ("mdnrnn/weights.safetensors", b"\x08", "train_controller", DAMAGED),
        ("mdnrnn/starts.safetensors", b"", "watch", DAMAGED),
        ("controller/weights.safetensors", b"\xff" * 100, "watch", DAMAGED),
        ("controller/weights.safetensors", b"\xff" * 100, "evaluate", DAMAGED),
        ("run.json", "{", "train_vae", DAMAGED),
        ("run.json", "[]", "train_vae", DAMAGED),
        ("run.json", "{}", "train_vae", "--preset"),
        ("run.json", '{"preset": "huge"}', "collect", "--preset"),
        ("rollouts/config.json", "\xff", "collect", DAMAGED),
        ("vae/config.json", "[1, 2]", "train_vae", DAMAGED),
        ("mdnrnn/config.json", '{"no_such_option": 1}', "train_mdnrnn", "no_such_option"),
        ("controller/config.json", '{"sigma": 0.1', "train_controller", DAMAGED),
        ("rollouts/manifest.json", "{", "train_vae", DAMAGED),
        ("rollouts/manifest.json", "", "collect", DAMAGED),
        ("vae/manifest.json", "null", "train_mdnrnn", DAMAGED),
        ("vae/manifest.json", "{}", "train_mdnrnn", "is of format None, this version reads format 1"),
        ("mdnrnn/manifest.json", '{"complete": true, "format": 2}', "train_controller", "is of format 2"),
        ("controller/manifest.json", "{", "watch", DAMAGED),
        ("controller/manifest.json", "{", "evaluate", DAMAGED),
        ("controller/manifest.json", "{", "iterate", DAMAGED),
    ],
)
def test_a_damaged_file_is_named(
    file: str, content: str | bytes, script: str, message: str, run: Path, refused: Refused
):
    shutil.rmtree(run / "round-1")
    replace(run / file, content)
    if file.endswith("state.pt"):
        edit((run / file).with_name("manifest.json"), complete=False)
    if script == "train_controller" and not file.startswith("controller"):
        shutil.rmtree(run / "controller")
    sentence = refused(script, "--agent" if script in ("watch", "evaluate") else "--run", run)
    assert message in sentence
    assert str(run / file).removesuffix("/manifest.json").removesuffix("/weights.safetensors") in sentence or (
        "no_such_option" in sentence
    )


def test_no_episodes_is_told(run: Path, refused: Refused):
    for folder in ("vae", "mdnrnn", "rollouts/episodes"):
        shutil.rmtree(run / folder)
    assert "episode-2000000000.npz is missing" in refused("train_vae", "--run", run)


def test_episodes_that_are_all_damaged_are_told(run: Path, refused: Refused):
    shutil.rmtree(run / "vae")
    for file in (run / "rollouts" / "episodes").iterdir():
        replace(file, TRUNCATED)
    assert "episode-2000000000.npz is not the file" in refused("train_vae", "--run", run)


def test_a_damaged_episode_is_named_and_recorded_again(run: Path, refused: Refused):
    shutil.rmtree(run / "vae")
    damaged = run / "rollouts" / "episodes" / "episode-2000000003.npz"
    whole = damaged.read_bytes()
    replace(damaged, TRUNCATED)
    assert f"{damaged} is not the file" in refused("train_vae", "--run", run)
    damaged.unlink()
    assert call("collect", "--run", run, *COMMON) == 0
    assert damaged.read_bytes() == whole
    assert call("train_vae", "--run", run, *COMMON) == 0


def test_frames_and_v_with_different_preprocessing_are_told_apart(run: Path, refused: Refused):
    crop = ("--env.crop", 0, 60, 0, 60)
    assert call("collect", "--preset", "tiny", "--run", "cropped", *crop, *COMMON) == 0
    shutil.copytree(run / "vae", "cropped/vae")
    assert "(preprocessing " in (sentence := refused("train_mdnrnn", "--run", "cropped"))
    assert "disagree" in sentence
    assert "was made from env" in refused("collect", "--run", run, *crop)
    assert "was fitted to frames of toy" in refused("evaluate", "--agent", run, "--env.id", "carracing")


def test_frames_that_v_cannot_see_are_told(refused: Refused):
    assert call("collect", "--preset", "tiny", "--run", "small", "--env.size", 32, *COMMON) == 0
    assert "collect with --env.size 64" in refused("train_vae", "--run", "small")


@pytest.mark.parametrize(("script", "stage"), [("train_vae", "vae"), ("train_mdnrnn", "mdnrnn")])
def test_a_loss_that_is_no_longer_a_number_stops_the_training(
    script: str, stage: str, run: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(run / stage)
    rate = (f"--{stage}.learning-rate", 1e18, f"--{stage}.log-every", 1)
    for _ in range(2):  # the second time it continues from where there is no way on
        assert call(script, "--run", run, *rate, *COMMON) == 2
        (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
        assert "is no longer a number" in sentence
        assert "Use a lower learning rate" in sentence
    assert not (run / stage / "weights.safetensors").exists()


@pytest.mark.parametrize("script", ["collect", "pipeline"])
def test_a_place_that_cannot_be_written_to_is_told(script: str, tmp_path: Path, refused: Refused):
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(script, "--preset", "tiny", "--run", tmp_path / "file" / "run")


def test_a_run_directory_without_permission_is_told(run: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch):
    def forbid(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    shutil.rmtree(run / "vae")
    monkeypatch.setattr(Path, "mkdir", forbid)
    assert f"{run / 'vae'}: Permission denied" in refused("train_vae", "--run", run)


def test_results_that_cannot_be_written_are_told(run: Path, tmp_path: Path, refused: Refused):
    (tmp_path / "taken.json").mkdir()
    assert "taken.json" in refused("evaluate", "--agent", run, "--episodes", 1, "--out", tmp_path / "taken.json")


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("evaluate", ("--out", "taken.json"), "--out taken.json is a folder"),
        ("evaluate", ("--out", "file/score.json"), "file is no folder"),
        ("diagnose", ("--out", "taken.json"), "--out taken.json is a folder"),
        ("watch", ("--out", "file/deep/film.mp4"), "file is no folder"),
        ("export", ("--what", "onnx", "--out", "file/model"), "file is no folder"),
        ("report", ("--csv", "file/curves.csv"), "file is no folder"),
        ("report", ("--out", "a.html", "--csv", "a.html"), "one would replace the other"),
    ],
)
def test_a_place_that_cannot_take_results_is_refused_before_they_are_made(
    script: str, arguments: tuple[str, ...], message: str, run: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
):
    Path("taken.json").mkdir()
    Path("file").touch()
    for place in ("agents.cli.evaluate.evaluate", "agents.cli.diagnose.diagnose", "agents.cli.report.write_report"):
        monkeypatch.setattr(place, None)  # it would be called otherwise
    assert message in refused(script, "--run" if script == "report" else "--agent", run, *arguments)


def test_what_would_be_ignored_is_refused(run: Path, refused: Refused):
    for option in (("--env.action-repeat", 2), ("--collect.policy", "held")):
        sentence = refused("collect", "--run", "new", "--preset", "tiny", "--agent", run, *option)
        assert f"leave out {option[0]}" in sentence
