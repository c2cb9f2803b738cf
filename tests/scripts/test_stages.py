"""The scripts, one after the other, on one run directory."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest
from PIL import Image

from agents.pipeline.config import PipelineConfig
from agents.pipeline.presets import PRESETS
from rollouts.runs.files import file_hash
from tests.faults.helpers import SCRIPTS, call
from tests.scripts.conftest import COMMON

SECTIONS = {
    "collect": ("env", "collect"),
    "train_vae": ("vae",),
    "train_mdnrnn": ("mdnrnn",),
    "train_controller": ("env", "controller"),
    "iterate": ("iterate",),
    "sweep_temperature": ("controller",),
    "compare": ("controller",),
    "evaluate": (),
    "watch": ("watch",),
    "play": (),
    "pipeline": tuple(field.name for field in dataclasses.fields(PipelineConfig)),
}
RESULTS = [
    "run.json",
    "rollouts/episodes/episode-2000000000.npz",
    *(f"{folder}{file}" for folder in ("", "round-1/") for file in (
        "rollouts/manifest.json",
        "vae/weights.safetensors",
        "vae/diagnostics.json",
        "vae/reconstructions.png",
        "vae/prior_samples.png",
        "vae/metrics.jsonl",
        "mdnrnn/weights.safetensors",
        "mdnrnn/starts.safetensors",
        "mdnrnn/diagnostics.json",
        "mdnrnn/dream.png",
        "controller/weights.safetensors",
        "controller/history.jsonl",
        "controller/config.json",
    )),
]  # fmt: skip


@pytest.mark.parametrize("script", SECTIONS)
def test_all_help_has_the_presets_and_every_option_of_its_sections(
    script: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert call(script, "--help-all") == 0
    shown = capsys.readouterr().out
    for section in SECTIONS[script]:
        for option in dataclasses.fields(getattr(PRESETS["tiny"], section)):
            assert f"--{section}.{option.name.replace('_', '-')}" in shown
    assert f"\n  python scripts/{script}.py" in shown  # every example on a line of its own
    if script not in ("evaluate", "watch", "play"):
        assert all(preset in shown for preset in PRESETS)
    assert not list(tmp_path.iterdir())


def test_a_script_is_a_program_of_its_own(tmp_path: Path):
    def run(arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPTS / "train_vae.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    with ThreadPoolExecutor() as both:
        helped, refused = both.map(run, (("--help",), ("--run", "nowhere")))
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "--vae.latent-size N" in helped.stdout
    assert "\n  python scripts/train_vae.py --run runs/car" in helped.stdout
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == ("Error: There is no run at nowhere. Start one: python scripts/collect.py --run nowhere\n")


@pytest.mark.parametrize("file", RESULTS)
def test_the_stages_leave_their_results(file: str, scripted_run: Path):
    assert (scripted_run / file).stat().st_size > 0


@pytest.mark.parametrize("script", ["collect", "train_vae", "train_mdnrnn", "train_controller", "iterate"])
def test_the_same_command_on_a_finished_stage_changes_nothing(script: str, run: Path):
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    assert call(script, "--run", run, *COMMON) == 0
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_a_stage_keeps_its_options_without_their_being_given_again(run: Path):
    assert call("train_vae", "--run", run, "--vae.steps", 11, *COMMON) == 0
    assert json.loads((run / "vae" / "config.json").read_text())["steps"] == 11
    assert call("train_vae", "--run", run, *COMMON) == 0
    assert json.loads((run / "vae" / "config.json").read_text())["steps"] == 11


def test_a_controller_can_begin_with_another_agents_weights(scripted_run: Path, run: Path):
    """The newest round's agent, evolved on in a run that has none yet."""
    shutil.rmtree(run / "controller")
    shutil.rmtree(run / "round-1")
    assert call("train_controller", "--run", run, "--start-from", scripted_run, *COMMON) == 0
    manifest = json.loads((run / "controller" / "manifest.json").read_text())
    weights = scripted_run / "round-1" / "controller" / "weights.safetensors"
    assert manifest["inputs"]["start_from"] == file_hash(weights)
    first = json.loads((run / "controller" / "history.jsonl").read_text().splitlines()[0])
    assert {"initial_validation", "initial_validation_steps"} <= set(first)


def test_evaluate_writes_every_episode(scripted_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "deep" / "score.json"
    assert call("evaluate", "--agent", scripted_run, "--episodes", 3, "--seed", 5, "--out", out, *COMMON) == 0
    report = json.loads(out.read_text())
    assert [episode["seed"] for episode in report["episodes"]] == [5, 6, 7]
    assert report["mean"] == pytest.approx(sum(episode["return"] for episode in report["episodes"]) / 3, abs=1e-3)
    assert report["is_score"] is False
    assert "not a score" in capsys.readouterr().out


def test_evaluate_knows_the_agents_world_whatever_run_is_the_newest(
    scripted_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "runs" / "other"
    other.mkdir(parents=True)
    (other / "run.json").write_text('{"preset": "paper"}')
    monkeypatch.chdir(tmp_path)
    assert call("evaluate", "--agent", scripted_run, "--episodes", 1, *COMMON) == 0


@pytest.mark.parametrize(("suffix", "world"), [(".mp4", "real"), (".gif", "real"), (".mp4", "dream")])
def test_watch_writes_a_video_that_can_be_read_back(suffix: str, world: str, scripted_run: Path, tmp_path: Path):
    out = tmp_path / f"video{suffix}"
    options = ("--watch.world", world, "--watch.max-steps", 6, "--watch.every", 2)
    assert call("watch", "--agent", scripted_run, "--out", out, *options, *COMMON) == 0
    if suffix == ".gif":
        with Image.open(out) as picture:
            assert (picture.n_frames, picture.size) == (3, (600, 348))
    else:
        with av.open(str(out)) as container:
            frames = list(container.decode(video=0))
        assert (len(frames), frames[0].width, frames[0].height) == (3, 1000, 580)


def test_without_a_run_directory_a_new_one_is_made_and_then_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert call("collect", "--preset", "tiny", "--collect.episodes", 2, *COMMON) == 0
    assert [path.name for path in sorted(Path("runs").iterdir())] == ["tiny-1", "tiny-2"]
    os.utime("runs/tiny-1")
    assert call("train_vae", "--vae.steps", 1, *COMMON) == 0
    assert Path("runs/tiny-1/vae/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("script", "place", "message"),
    [
        ("collect", "agents.cli.collect.collect", "Stopped. Continue with --run runs/tiny-1 "),
        ("evaluate", "agents.cli.evaluate.evaluate", "Stopped.\n"),
    ],
)
def test_ctrl_c_tells_how_to_go_on_where_that_is_possible(
    script: str,
    place: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, stop)
    options = ("--preset", "tiny") if script == "collect" else ("--agent", "anyone")
    assert call(script, *options, *COMMON) == 130
    assert message in capsys.readouterr().err


def test_scripts_have_only_the_options_that_they_use(capsys: pytest.CaptureFixture[str]):
    for script, device, workers in (("evaluate", False, True), ("play", True, False), ("release", False, False)):
        assert call(script, "--help-all") == 0
        shown = capsys.readouterr().out
        assert ("--device" in shown, "--workers" in shown) == (device, workers)
