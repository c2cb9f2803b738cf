"""Run directories: nothing half-written, nothing silently ignored, nothing mixed up."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.pipeline.config import PipelineConfig
from agents.pipeline.presets import PRESETS
from rollouts import UserError
from rollouts.runs.files import atomic_path, file_hash, fingerprint, read_json, replace_folder, write_json
from rollouts.runs.options import config_from_dict, config_to_dict
from rollouts.runs.place import place
from rollouts.runs.stage import Stage


@dataclass(frozen=True)
class Options:
    steps: int = 10
    rate: float = 0.5
    spread: tuple[int, int] | None = None


def begin_stage(run: Path, options: Options = Options(), **inputs: str) -> Stage:
    """A stage that has made something."""
    stage = Stage(run, "vae").open(options, inputs, growable=("steps",))
    (stage.path / "state.pt").write_bytes(b"weights")
    return stage


def test_a_file_that_fails_to_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == [path]
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_in_one_sentence(code, tmp_path):
    with pytest.raises(UserError, match=r"The disk is full: .* could not be written"), atomic_path(tmp_path / "x"):
        raise OSError(code, "full")
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_system_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError("no")


def test_damaged_and_missing_json_is_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(UserError, match=r"config\.json does not exist"):
        read_json(path)
    for content in ('{"steps": 1', "[1, 2]"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"config\.json is damaged"):
            read_json(path)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_the_way_to_json_and_back(name):
    preset = PRESETS[name]
    assert config_from_dict(PipelineConfig, json.loads(json.dumps(config_to_dict(preset)))) == preset


def test_an_unknown_option_is_an_error_at_any_depth():
    with pytest.raises(UserError, match=r"Unknown Options option\(s\): stpes"):
        config_from_dict(Options, {"stpes": 1})
    nested = config_to_dict(PipelineConfig())
    nested["controller"]["spec"]["colour"] = "blue"
    with pytest.raises(UserError, match=r"Unknown ControllerSpec option\(s\): colour"):
        config_from_dict(PipelineConfig, nested)


def test_tuples_are_tuples_again():
    options = Options(spread=(8, 15))
    assert config_from_dict(Options, config_to_dict(options)) == options


def test_hashes_identify_content_and_not_order_or_name(tmp_path):
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 2, "b": 1})
    for name, content in (("one", b"x"), ("two", b"x"), ("three", b"y")):
        (tmp_path / name).write_bytes(content)
    assert file_hash(tmp_path / "one") == file_hash(tmp_path / "two") != file_hash(tmp_path / "three")


def test_a_stage_continues_with_the_options_it_was_made_with(tmp_path):
    begin_stage(tmp_path, data="abc").finish(weights="123")
    stage = Stage(tmp_path, "vae").open(Options(), {"data": "abc"})
    assert stage.complete
    assert stage.config(Options) == Options()
    assert stage.manifest["weights"] == "123"
    assert {"format", "versions", "git_commit", "inputs"} <= set(stage.manifest)


def test_changed_options_are_refused_by_name_and_value(tmp_path):
    begin_stage(tmp_path)
    with pytest.raises(UserError, match=r"\(rate was 0\.5, is now 0\.1\)"):
        Stage(tmp_path, "vae").open(Options(rate=0.1))


@pytest.mark.parametrize(("steps", "accepted"), [(20, True), (5, False)])
def test_a_growable_option_may_grow_but_not_shrink(steps, accepted, tmp_path):
    begin_stage(tmp_path).finish()
    options = replace(Options(), steps=steps)
    if accepted:
        stage = Stage(tmp_path, "vae").open(options, growable=("steps",))
        assert not stage.complete  # there is more to do
        assert stage.config(Options) == options
    else:
        with pytest.raises(UserError, match="steps was 10, is now 5"):
            Stage(tmp_path, "vae").open(options, growable=("steps",))


def test_inputs_that_disagree_are_both_named(tmp_path):
    begin_stage(tmp_path, frames="aaa")
    with pytest.raises(UserError, match="made from frames aaa, but frames is now bbb"):
        begin_stage(tmp_path, frames="bbb")


def test_a_stage_that_made_nothing_yet_may_be_started_with_other_options(tmp_path):
    Stage(tmp_path, "vae").open(Options(rate=0.1))
    assert Stage(tmp_path, "vae").open(Options(rate=0.2)).config(Options).rate == 0.2


def test_a_stage_of_another_format_is_refused(tmp_path):
    manifest = begin_stage(tmp_path).path / "manifest.json"
    write_json(manifest, read_json(manifest) | {"format": 999})
    with pytest.raises(UserError, match="is of format 999, this version reads format 1"):
        Stage(tmp_path, "vae").require()


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stage = begin_stage(tmp_path)
    names = (f"{dead.pid}-{place()}", f"{os.getppid()}-{place()}", f"{dead.pid}-0c0ffee0", str(dead.pid))
    abandoned, *others = (stage.path / f".state.pt.{name}.tmp" for name in names)
    for file in (abandoned, *others):
        file.touch()
    begin_stage(tmp_path)
    assert not abandoned.exists()
    assert all(file.exists() for file in others)  # a process of another container is not known to be dead
    for file in others[1:]:
        os.utime(file, (0, 0))
    begin_stage(tmp_path)
    assert [file.exists() for file in others] == [True, False, False]


def test_a_stage_that_is_needed_but_not_finished_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"has no 'vae' stage yet.*worldmodels train-vae --run"):
        Stage(tmp_path, "vae").require()
    stage = Stage(tmp_path, "vae").open(Options())
    with pytest.raises(UserError, match="unfinished"):
        Stage(tmp_path, "vae").require()
    stage.finish()
    assert Stage(tmp_path, "vae").require().path == Path(tmp_path, "vae")


def test_the_time_of_a_stage_is_added_up_over_all_its_processes(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=100.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr("rollouts.runs.stage.time", clock)

    def work(stage: Stage, seconds: float) -> None:
        for _ in range(int(seconds)):
            clock.now += 1
            stage.tick()

    work(begin_stage(tmp_path), 25)  # killed here: noted after 10 and after 20 seconds
    clock.now += 1000  # nobody worked
    stage = begin_stage(tmp_path)
    assert stage.manifest["seconds"] == 20
    work(stage, 7)
    stage.finish()
    assert stage.manifest["seconds"] == 27
    clock.now += 1000
    grown = Stage(tmp_path, "vae").open(replace(Options(), steps=20), growable=("steps",))
    work(grown, 3)
    grown.finish()
    assert grown.manifest["seconds"] == 30


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        write_json(folder / "name.json", {"name": folder.name})
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", old)
    assert read_json(old / "name.json") == {"name": "old"}
    replace_folder(new, old)
    assert read_json(old / "name.json") == {"name": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place where no folder can be made, not even by root")
def test_a_place_where_no_folder_can_be_made_is_named():
    with pytest.raises(UserError, match=r"No folder can be made at /proc/none/run/vae: choose another --run"):
        Stage(Path("/proc/none/run"), "vae").open(Options())
