"""Files that are gone, or of another run: refused by name, or made anew with a sentence, never taken for one's own."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.inventory import Inventory, mark, require_recorded
from rollouts.runs.files import append_json_line, read_json, read_json_lines, write_json, write_json_lines
from rollouts.runs.stage import Stage
from worldmodels.data.latents import encode_sources
from worldmodels.training.checkpoint import load_newest_state, save_state
from worldmodels.training.loop import MetricsLog
from worldmodels.vae import ConvVAE

CPU = torch.device("cpu")


@pytest.fixture
def recorded(tmp_path: Path) -> EpisodeStore:
    return collect(CollectConfig(episodes=3, max_steps=6), EnvConfig("toy"), tmp_path / "run", 0)


@pytest.fixture
def other(tmp_path: Path) -> EpisodeStore:
    """The same seeds, other episodes."""
    return collect(CollectConfig(episodes=3, max_steps=5), EnvConfig("toy"), tmp_path / "other", 0)


def collect_again(store: EpisodeStore, episodes: int = 3) -> None:
    run = store.path.parent.parent
    collect(CollectConfig(episodes=episodes, max_steps=6), EnvConfig("toy"), run, 0)


def unfinished(store: EpisodeStore) -> None:
    manifest = store.path.parent / "manifest.json"
    write_json(manifest, {**read_json(manifest), "complete": False})


def test_what_was_recorded_is_accepted_and_listed(recorded: EpisodeStore, capsys: pytest.CaptureFixture[str]):
    stage = Stage(recorded.path.parent.parent, "rollouts")
    assert Inventory(stage).read() == {file.name: mark(file) for file in recorded.files}
    capsys.readouterr()
    require_recorded(recorded)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("finished", [True, False])
def test_a_missing_episode_is_named_and_recorded_again_as_it_was(
    finished: bool, recorded: EpisodeStore, capsys: pytest.CaptureFixture[str]
):
    gone = recorded.files[1]
    before = gone.read_bytes()
    gone.unlink()
    if finished:
        with pytest.raises(UserError, match=rf"{gone} is missing.*collect"):
            require_recorded(recorded)
    else:
        unfinished(recorded)
    collect_again(recorded)
    assert f"{gone} was recorded and is missing" in capsys.readouterr().err
    assert gone.read_bytes() == before
    require_recorded(recorded)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("damage", ["of another run", "cut", "directory"])
def test_an_episode_that_is_not_the_one_that_was_recorded_is_refused(
    damage: str, finished: bool, recorded: EpisodeStore, other: EpisodeStore
):
    file = recorded.files[1]
    whole = file.read_bytes()
    changed = {
        "of another run": other.files[1].read_bytes(),
        "cut": whole[:-30],
        "directory": whole[:-100] + bytes(100),
    }
    file.write_bytes(changed[damage])
    if not finished:
        unfinished(recorded)
    with pytest.raises(UserError, match=rf"{file} is not the file that was recorded there"):
        collect_again(recorded, 4)
    if finished:
        with pytest.raises(UserError, match=rf"{file} is not the file that was recorded there"):
            require_recorded(recorded)
    file.unlink()
    collect_again(recorded)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("sums", [True, False])
def test_a_damaged_picture_is_noticed_before_more_episodes_are_recorded(
    sums: bool, finished: bool, recorded: EpisodeStore
):
    if not sums:  # as in runs of before
        inventory = Inventory(Stage(recorded.path.parent.parent, "rollouts"))
        lines = [{"file": name, "mark": noted} for name, noted in inventory.read().items()]
        write_json_lines(inventory.path, lines, inventory.stage.id)
    file = recorded.files[1]
    content, before = bytearray(file.read_bytes()), mark(file)
    content[150] ^= 1
    file.write_bytes(content)
    assert mark(file) == before  # which is why all of it is read
    if not finished:
        unfinished(recorded)
    with pytest.raises(UserError, match=rf"{file} is not the file that was recorded there"):
        collect_again(recorded, 4)
    assert len(recorded) == 3


def test_an_episode_under_another_ones_name_is_no_episode(recorded: EpisodeStore):
    shutil.copyfile(recorded.files[0], recorded.files[1])
    with pytest.raises(UserError, match="it is the episode of seed"):
        recorded.load(recorded.files[1])


@pytest.mark.parametrize("damage", ["cut", "of another run", "garbage"])
def test_a_damaged_list_is_refused_and_may_be_given_up(
    damage: str, recorded: EpisodeStore, other: EpisodeStore, capsys: pytest.CaptureFixture[str]
):
    path = recorded.path.parent / "episodes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    content = {
        "cut": b"".join(lines[:2]),
        "of another run": (other.path.parent / "episodes.jsonl").read_bytes(),
        "garbage": b"\xff\xfe\n\x00\n",
    }
    path.write_bytes(content[damage])
    with pytest.raises(UserError, match=rf"{path}.*(damaged|delete it to take the episodes)"):
        require_recorded(recorded)
    path.unlink()
    require_recorded(recorded)
    assert f"There is no {path}" in capsys.readouterr().err


def test_runs_of_before_have_no_list_and_are_taken_as_they_are(
    recorded: EpisodeStore, capsys: pytest.CaptureFixture[str]
):
    manifest = recorded.path.parent / "manifest.json"
    write_json(manifest, {name: value for name, value in read_json(manifest).items() if name not in ("listed", "id")})
    (recorded.path.parent / "episodes.jsonl").unlink()
    capsys.readouterr()
    require_recorded(recorded)
    assert capsys.readouterr().err == ""
    collect_again(recorded, 4)
    assert len(recorded) == 4
    require_recorded(recorded)


def test_what_was_added_by_hand_is_named_and_taken(
    recorded: EpisodeStore, other: EpisodeStore, capsys: pytest.CaptureFixture[str]
):
    added = recorded.path / "episode-2010000007.npz"
    shutil.copyfile(other.files[0], added)
    require_recorded(recorded)
    assert f"{added} was not recorded there" in capsys.readouterr().err


def test_ten_thousand_checksums_take_seconds(recorded: EpisodeStore):
    """The disk apart: of the same file again and again."""
    file, began = recorded.files[0], time.process_time()
    for _ in range(10_000):
        mark(file)
    assert time.process_time() - began < 3


def test_a_line_of_another_run_or_with_one_bit_changed_is_refused(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    for step in range(3):
        append_json_line(path, {"step": step, "loss": 1.5}, of="mine")
    assert [record["step"] for record in read_json_lines(path, "step", "mine")] == [0, 1, 2]
    assert [record["step"] for record in read_json_lines(path, "step")] == [0, 1, 2]
    with pytest.raises(UserError, match=r"Line 1 .* it was changed, or is of another run"):
        read_json_lines(path, "step", "yours")
    path.write_text(path.read_text().replace("1.5", "1.7", 1))
    with pytest.raises(UserError, match=r"Line 1 .* it was changed"):
        read_json_lines(path, "step", "mine")
    write_json_lines(path, [{"step": 0}, {"step": 1}])
    assert len(read_json_lines(path, "step")) == 2  # of an older version
    with pytest.raises(UserError, match="Line 1"):
        read_json_lines(path, "step", "mine")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "run", "vae").open(CollectConfig(), {"a": "b"})


def test_a_log_that_lacks_lines_is_told_of(stage: Stage, capsys: pytest.CaptureFixture[str]):
    log = MetricsLog(stage, 0)
    for step in (1, 2, 3):
        log.scalars(step, {"loss": 1.0})
    log.close()
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:1]))
    MetricsLog(stage, 3, log.lines).close()
    assert f"{log.path} has 1 of the 3 lines that were logged up to step 3" in capsys.readouterr().err


def test_a_checkpoint_of_another_run_is_refused_and_the_one_before_taken(
    stage: Stage, capsys: pytest.CaptureFixture[str]
):
    assert stage.id is not None
    newest = stage.path / "state.pt"
    save_state({"step": 1, "stage": stage.id}, newest)
    save_state({"step": 2, "stage": "another"}, newest)
    assert load_newest_state(stage, CPU) == {"step": 1, "stage": stage.id}
    assert f"The checkpoint {newest} is of another run" in capsys.readouterr().err
    save_state({"step": 2, "stage": "another"}, newest)
    (stage.path / "state.older.pt").unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{newest} is of another run"):
        load_newest_state(stage, CPU)
    newest.unlink()
    save_state({"step": 3}, stage.path / "state.older.pt")
    assert load_newest_state(stage, CPU) == {"step": 3}  # of an older version
    assert f"There is no {newest}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_one_changed_value_in_a_stages_facts_is_refused(name: str, stage: Stage):
    path = stage.path / name
    text = path.read_text()
    path.write_text(text.replace('"a": "b"', '"a": "c"') if name == "manifest.json" else text.replace("1000", "1001"))
    assert path.read_text() != text
    with pytest.raises(UserError, match=rf"{path} is damaged, or was changed by hand"):
        _ = stage.manifest if name == "manifest.json" else stage.options


def test_options_of_another_run_are_refused(stage: Stage, tmp_path: Path):
    another = Stage(tmp_path / "another", "vae").open(CollectConfig(episodes=7), {"a": "b"})
    shutil.copyfile(another.path / "config.json", stage.path / "config.json")
    with pytest.raises(UserError, match=rf"{stage.path / 'config.json'} is of another run"):
        stage.config(CollectConfig)


def test_a_changed_value_is_taken_if_the_checksum_is_removed(stage: Stage):
    path = stage.path / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in values.items() if name != "check"}))
    assert stage.config(CollectConfig) == CollectConfig()


def test_latents_of_another_v_are_encoded_again_with_a_sentence(
    recorded: EpisodeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    torch.manual_seed(0)
    one, two, sources = ConvVAE(4), ConvVAE(4), [(recorded, recorded.files[0])]
    (right,) = encode_sources(one, "one", sources, tmp_path / "cache", CPU)
    encode_sources(two, "two", sources, tmp_path / "others", CPU)
    cached = tmp_path / "cache" / "one" / recorded.files[0].name
    shutil.copyfile(tmp_path / "others" / "two" / recorded.files[0].name, cached)
    capsys.readouterr()
    (again,) = encode_sources(one, "one", sources, tmp_path / "cache", CPU)
    assert np.array_equal(again.mean, right.mean)
    assert f"{cached} was damaged, or of another episode or V" in capsys.readouterr().err
