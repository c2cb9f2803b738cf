"""Every file of a run: what is damaged is refused by name or mended, and other systems' manners are borne."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.evaluation import summarise
from rollouts.errors import UserError
from rollouts.runs import files, stage
from rollouts.runs.files import (
    append_json_line,
    atomic_path,
    read_json,
    read_json_lines,
    write_json,
    write_json_lines,
)
from rollouts.runs.stage import OLDER_STATE, Stage
from tests.faults.helpers import CPU, call, differences, interrupted_at
from worldmodels.training.checkpoint import load_state, load_tensors, save_state, save_tensors

WEIGHTS = [f"{name}/weights.safetensors" for name in ("vae", "mdnrnn", "controller")]


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(path: Path, at: float = 0.6) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("name", [*WEIGHTS, "mdnrnn/starts.safetensors"])
def test_one_flipped_bit_in_weights_is_refused_by_name(name: str, run: Path):
    shutil.rmtree(run / "round-1")
    Agent.load(run)
    flip(run / name)
    with pytest.raises(UserError, match=rf"{name}.* is damaged|{name}.*damaged, or of another run"):
        Agent.load(run)


@pytest.mark.parametrize("name", WEIGHTS)
def test_released_agents_have_the_hashes_too(name: str, tmp_path: Path):
    agent = Path(shutil.copytree("agents/pretrained/carracing", tmp_path / "agent"))
    flip(agent / name, 0.99)
    with pytest.raises(UserError, match="damaged, or of another run"):
        Agent.load(agent)


def test_a_run_without_hashes_is_read_as_before(run: Path):
    shutil.rmtree(run / "round-1")
    for name in ("mdnrnn", "controller"):
        facts = read_json(run / name / "manifest.json")
        write_json(run / name / "manifest.json", {k: v for k, v in facts.items() if k not in ("weights", "starts")})
    Agent.load(run)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path):
    save_tensors({"a": torch.ones(3), "b": torch.tensor([1.0, value])}, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"weights\.safetensors.*\(b holds numbers that are not finite\)"):
        load_tensors(tmp_path / "weights.safetensors")


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(UserError, match="1 of 3 returns are no finite numbers"):
        summarise([1.0, np.nan, 2.0])


@pytest.mark.parametrize("name", ["vae", "mdnrnn"])
def test_a_controller_is_not_scored_on_another_model_than_its_own(name: str, run: Path, tmp_path: Path):
    shutil.rmtree(run / "round-1")
    for stage_of in dict.fromkeys((name, "mdnrnn")):  # V and M fit each other
        manifest, weights = run / stage_of / "manifest.json", run / stage_of / "weights.safetensors"
        if stage_of == name:
            save_tensors({key: value * 1.01 for key, value in load_tensors(weights).items()}, tmp_path / "other")
            shutil.copyfile(tmp_path / "other", weights)
        facts = {**read_json(manifest), "weights": files.file_hash(weights)}
        facts |= {"vae": files.file_hash(run / "vae" / "weights.safetensors")} if stage_of == "mdnrnn" else {}
        write_json(manifest, facts)
    with pytest.raises(UserError, match=f"was made on another {name}"):
        Agent.load(run)


def state(number: int) -> dict[str, Any]:
    return {"step": number, "numbers": torch.arange(1000) + number}


def test_the_last_two_states_are_kept_and_each_flipped_bit_is_noticed(tmp_path: Path):
    for number in range(4):
        save_state(state(number), tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt", CPU)["step"] == 3
    assert load_state(tmp_path / OLDER_STATE, CPU)["step"] == 2
    whole = (tmp_path / "state.pt").read_bytes()
    for at in range(0, len(whole), 97):
        flip(tmp_path / "state.pt", at / len(whole))
        try:
            assert load_state(tmp_path / "state.pt", CPU)["numbers"].equal(state(3)["numbers"])  # in a gap
        except UserError as error:
            assert "state.pt is damaged" in str(error)  # noqa: PT017 - both are right
        (tmp_path / "state.pt").write_bytes(whole)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, 0.3),
        pytest.param(Path.unlink, marks=pytest.mark.slow),
        pytest.param(lambda path: path.write_bytes(b""), marks=pytest.mark.slow),
    ],
)
def test_a_damaged_state_costs_the_steps_since_the_one_before(
    damage: Callable[[Path], object], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    shutil.copytree(finished / "rollouts", run / "rollouts")
    with interrupted_at("worldmodels.fit_vae.save_png", 1):  # after the last of the checkpoints at 4, 8 and 9
        call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0)
    assert load_state(run / "vae" / OLDER_STATE, CPU)["step"] == 8
    damage(run / "vae" / "state.pt")
    assert call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0) == 0
    assert differences(finished / "vae", run / "vae") == []
    assert not (run / "vae" / OLDER_STATE).exists()
    assert damage is Path.unlink or "The one before it is continued from." in capsys.readouterr().err


@pytest.mark.parametrize("bad", [b'{"step": 2', b"[1]", b'{"other": 1}', b'{"step": "\xff\xfe"}', b""])
def test_a_damaged_line_in_the_middle_is_refused_with_its_number_and_the_file_kept(bad: bytes, tmp_path: Path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"step": 1}\n' + bad + b'\n{"step": 3}\n')
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"Line 2 of .*history\.jsonl is damaged .*; 1 more follow it"):
        read_json_lines(path, "step")
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", [b'{"step": 2', b'{"step": "\xff', b"\x00\x00\x00"])
def test_only_a_last_line_is_left_out_and_told_of(bad: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "history.jsonl"
    write_json_lines(path, [{"step": 1}])
    append_json_line(path, {"step": 2}, sync=True)
    assert [record["step"] for record in read_json_lines(path, "step")] == [1, 2]
    path.write_bytes(path.read_bytes() + bad)
    assert [record["step"] for record in read_json_lines(path, "step")] == [1, 2]
    assert "was cut short" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["history.jsonl", "metrics.jsonl"])
def test_an_evolution_with_a_damaged_line_is_not_gone_on_with(name: str, run: Path, capsys: pytest.CaptureFixture[str]):
    path, manifest = run / "controller" / name, run / "controller" / "manifest.json"
    write_json(manifest, {**read_json(manifest), "complete": False})
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:9] + b"\x80" + lines[1][10:]
    path.write_bytes(before := b"\n".join(lines))
    assert call("train_controller", "--run", run, "--workers", 0) == 2
    assert f"Line 2 of {path} is damaged" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("lost", ["manifest.json", "config.json"])
@pytest.mark.parametrize(("stage_of", "command"), [("vae", "train_vae"), ("mdnrnn", "train_mdnrnn")])
def test_results_that_nobody_can_tell_the_origin_of_are_refused(
    lost: str, stage_of: str, command: str, run: Path, capsys: pytest.CaptureFixture[str]
):
    (run / stage_of / lost).unlink()
    assert call(command, "--run", run, f"--{stage_of}.seed", 5, "--workers", 0) == 2
    assert f"{stage_of} holds results and no {lost}" in capsys.readouterr().err


#: What may stand in the place of any value of a JSON file.
WRONG = (None, "text", -1, [], {}, [None], {"a": None}, 1e400, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
@pytest.mark.parametrize("stage_of", ["rollouts", "vae", "mdnrnn", "controller"])
def test_a_wrong_value_anywhere_is_a_sentence_or_no_matter(stage_of: str, name: str, run: Path):
    shutil.rmtree(run / "round-1")
    path = run / stage_of / name
    whole = read_json(path)
    for number, key in enumerate(whole):
        for value in (WRONG[number % len(WRONG)], WRONG[(number + 4) % len(WRONG)]):
            write_json(path, {**whole, key: value})
            try:
                Agent.load(run)
            except UserError as error:
                assert str(path) in str(error) or str(run) in str(error)  # noqa: PT017 - a sentence that names it
        write_json(path, {k: v for k, v in whole.items() if k != key})
        try:
            Agent.load(run)
        except UserError as error:
            assert str(run) in str(error)  # noqa: PT017


def test_versions_that_differ_are_told_in_one_line_and_both_noted(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    shutil.copytree(finished / "rollouts", run / "rollouts")
    with interrupted_at("worldmodels.fit_vae.vae_loss", 7):
        call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0)
    before = Stage(run, "vae").manifest["versions"]
    monkeypatch.setattr(stage, "package_versions", lambda: {**before, "torch": "99.0"})
    assert call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "other versions" in line]
    assert f"torch {before['torch']}, now 99.0" in line
    manifest = Stage(run, "vae").manifest
    assert manifest["versions"]["torch"] == "99.0"
    assert [entry["versions"] for entry in manifest["earlier_versions"]] == [before]


def test_windows_syncs_only_what_is_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """EBADF is what it answers otherwise, and a folder cannot be opened at all."""
    import fcntl

    def picky(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(os, "fsync", picky)
    monkeypatch.setattr(files, "WINDOWS", True)
    write_json(tmp_path / "a.json", {"a": 1})
    append_json_line(tmp_path / "b.jsonl", {"b": 1}, sync=True)
    assert read_json(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr(files, "WINDOWS", False)  # and other systems that cannot sync a folder
    write_json(tmp_path / "a.json", {"a": 2})
    assert read_json(tmp_path / "a.json") == {"a": 2}


@pytest.mark.parametrize(("busy", "fails"), [(3, False), (10**6, True)])
def test_windows_lets_go_of_a_file_that_is_read_after_a_while(
    busy: int, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tries, original = [], Path.replace

    def replace(self: Path, target: Path) -> Path:
        tries.append(self)
        if len(tries) <= busy:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        return original(self, target)

    write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    if fails:
        with pytest.raises(PermissionError):
            write_json(tmp_path / "a.json", {"a": 2})
    else:
        write_json(tmp_path / "a.json", {"a": 2})
    assert read_json(tmp_path / "a.json") == {"a": 1 if fails else 2}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_rename_lasts_through_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file, then its folder, in this order."""
    synced: list[str] = []

    def note(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        synced.append("folder" if inode == tmp_path.stat().st_ino else "file")
        assert (tmp_path / "a").exists() == (synced[-1] == "folder")

    monkeypatch.setattr(os, "fsync", note)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.touch()
    assert synced == ["file", "folder"]
