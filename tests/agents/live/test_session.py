"""A viewer's session, without a server: scenes, driving, dreams, captures, recording."""

from __future__ import annotations

import dataclasses
import io
import random
import threading
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from agents import Agent
from agents.live import Session
from agents.live.commands import COMMANDS, SCENES, STARTS, Command
from agents.live.library import Library, drives_of, name_of
from agents.live.pace import PAUSE_AT_END
from agents.live.packets import picture, unpack
from agents.live.recorder import KEPT_SECONDS, Drives
from agents.live.replay import STORES
from agents.live.session import Shared
from agents.pipeline.presets import TINY
from agents.viewing.moments import RealWorld
from rollouts import UserError
from rollouts.runs.stage import Stage
from rollouts.seeds import HUMAN
from tests.agents.live.conftest import Tell
from worldmodels import WorldModel
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae


def step(session: Session) -> dict:
    return unpack(session.advance())[0]


@pytest.mark.parametrize("scene", ["real", "dream", "wake"])
def test_every_scene_has_pictures_that_change(scene: str, session: Session, tell: Tell):
    tell("scene", name=scene)
    moments = [unpack(session.advance()) for _ in range(3)]
    for number, (header, blobs) in enumerate(moments):
        assert (header["scene"], header["step"]) == (scene, number)
        assert len(blobs) == header["views"] + header["twins"] + len(header["tiles"])
        assert header["views"] == 1
        assert header["twins"] == (scene == "wake")
        assert all(picture(blob).ndim == 3 for blob in blobs)
    assert len({blobs[0] for _, blobs in moments}) == 3


def test_hello_tells_what_the_page_needs(session: Session):
    header, _ = unpack(session.hello())
    assert header["world"] == "toy"
    assert header["actions"] == [{"name": "push", "low": -1.0, "high": 1.0, "keys": ["left", "right"]}]
    assert (header["latents"], header["seconds"], header["rate"]) == (4, 0.05, 20.0)
    assert header["images"] == []


@pytest.mark.parametrize("scene", ["real", "dream", "wake"])
def test_keys_take_over_and_release(scene: str, session: Session, tell: Tell):
    tell("scene", name=scene)
    assert not step(session)["by_hand"]
    tell("keys", held=frozenset(("right",)))
    for _ in range(9):
        driven = step(session)
    assert (driven["by_hand"], driven["action"]) == (True, [1.0])
    tell("keys", held=frozenset())
    assert not step(session)["by_hand"]
    tell("wheel", on=True)
    assert step(session)["by_hand"]


def test_nothing_moves_while_paused_but_single_steps(session: Session, tell: Tell):
    assert not session.idle
    tell("pause", on=True)
    assert session.idle
    ((one, _),) = tell("step")
    ((two, _),) = tell("step")
    assert (one["step"], two["step"]) == (0, 1)
    tell("pause", on=False)
    assert not session.idle


@pytest.mark.parametrize("scene", ["dream", "wake"])
def test_another_scene_shows_its_own_moment_also_while_paused(scene: str, session: Session, tell: Tell):
    session.advance()
    tell("pause", on=True)
    ((header, _blobs),) = tell("scene", name=scene)
    assert (header["kind"], header["scene"], header["views"]) == ("moment", scene, 1)
    ((back, _),) = tell("scene", name="real")
    assert back["scene"] == "real"
    assert tell("scene", name="latents")[0][0]["kind"] == "gallery"


def test_nothing_moves_where_nobody_looks(session: Session, tell: Tell):
    for scene in ("latents", "images"):
        tell("scene", name=scene)
        assert session.idle
    tell("scene", name="dream")
    assert not session.idle
    tell("hide", on=True)
    assert session.idle


def test_speed_changes_the_pace_and_leaves_pictures_out(session: Session, tell: Tell):
    session.advance()
    assert session.wait == pytest.approx(0.05)
    tell("speed", value=0.25)
    session.advance()
    assert session.wait == pytest.approx(0.2)
    tell("speed", value=8.0)
    shown = sum(step(session)["views"] for _ in range(9))
    assert session.wait == pytest.approx(0.05 / 8)
    assert shown == 3


def test_temperature_and_horizon_reach_the_dream(session: Session, tell: Tell):
    tell("scene", name="dream")

    def spread(temperature: float) -> float:
        tell("temperature", value=temperature)
        tell("restart", start="recorded", capture=-1)
        return float(np.diff([step(session)["z"] for _ in range(10)], axis=0).std())

    assert spread(0.05) < spread(3.0) / 2
    tell("horizon", value=2)
    tell("restart", start="recorded", capture=-1)
    assert [step(session)["over"] for _ in range(2)] == ["", "The horizon is reached."]
    assert session.wait == pytest.approx(0.05 + PAUSE_AT_END)
    assert step(session)["step"] == 0


def test_dreams_begin_where_they_are_told(session: Session, tell: Tell):
    for _ in range(3):
        session.advance()
    tell("capture")
    captured, real = session.theatre.real.place[0][0].numpy(), session.theatre.real.now[0][0].numpy()
    tell("scene", name="dream")
    starts = {}
    for start, capture in (("recorded", -1), ("episode", -1), ("real", -1), ("imagined", -1), ("captured", 0)):
        tell("restart", start=start, capture=capture)
        starts[start] = np.array(step(session)["z"])
    assert np.allclose(starts["real"], real, atol=1e-3)
    assert np.allclose(starts["captured"], captured, atol=1e-3)
    assert not np.allclose(starts["imagined"], real, atol=1e-3)
    tell("restart", start="captured", capture=77)  # forgotten by now: one of the recorded ones
    assert not np.allclose(step(session)["z"], real, atol=1e-3)


def test_waking_up_runs_both_worlds_from_one_state_with_the_same_actions(session: Session, tell: Tell):
    tell("scene", name="wake")
    first, second = step(session), step(session)
    assert (first["apart"], first["dreamed_for"]) == (0.0, 0)
    assert second["apart"] > 0
    tell("wake")
    again = step(session)
    assert (again["apart"], again["dreamed_for"], again["step"]) == (0.0, 0, 2)


def test_an_episode_that_is_over_is_followed_by_another(session: Session, tell: Tell):
    tell("keys", held=frozenset(("right",)))
    seeds = set()
    for _ in range(200):
        moment = step(session)
        seeds.add(moment["seed"])
        if moment["over"]:
            assert session.wait > PAUSE_AT_END
            following = step(session)
            assert (following["step"], following["seed"] in seeds) == (0, False)
            return
    pytest.fail("the block never fell")


def test_every_viewer_has_tracks_of_its_own(shared: Shared):
    one, two = Session(shared), Session(shared)
    assert one.theatre.real.world.seed != two.theatre.real.world.seed
    assert min(one.theatre.real.world.seed, two.theatre.real.world.seed) >= HUMAN
    before = two.theatre.real.step_count
    for _ in range(3):
        one.advance()
    assert two.theatre.real.step_count == before
    one.close()
    two.close()


def test_sessions_begin_one_after_the_other(shared: Shared, monkeypatch: pytest.MonkeyPatch):
    inside, most = 0, 0

    class Slow(RealWorld):
        def reset(self, seed: int) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            super().reset(seed)
            inside -= 1

    monkeypatch.setattr("agents.live.shows.RealWorld", Slow)
    threads = [threading.Thread(target=lambda: Session(shared).close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_another_agent_is_loaded_by_its_name(shared: Shared, tiny_run: Path):
    library = Library(shared.library.first.agent, tiny_run.parent)
    assert library.names()[:2] == ["toy", tiny_run.name]
    assert {"pretrained/carracing", "pretrained/takecover"} <= set(library.names())
    other = Session(Shared.of(library, shared.images), tiny_run.name)
    assert (other.name, other.agent.folder) == (tiny_run.name, tiny_run)
    assert other.drives.run == tiny_run / "human"
    assert unpack(other.hello())[0]["agents"] == library.names()
    assert library.load(tiny_run.name).agent is other.agent
    assert library.load(f"{tiny_run.parent.name}/{tiny_run.name}").agent is other.agent  # as commands call it
    other.close()
    for wrong in ("../tiny", "nobody", "pretrained", "x" * 5000):
        with pytest.raises(UserError, match="no agent"):
            Session(Shared.of(library, shared.images), wrong)


def test_rounds_have_names_of_their_own(toy_agent: Agent, tmp_path: Path):
    folder = tmp_path / "car" / "round-3"
    assert (name_of(folder), drives_of(folder, tmp_path)) == ("car/round-3", tmp_path / "car" / "human")
    session = Session(Shared.of(Library(dataclasses.replace(toy_agent, folder=folder), tmp_path), tmp_path))
    session.advance()
    session.clip("gif", 1.0)
    assert unpack(session.jobs.pop()())[0]["name"] == "car-round-3-real.gif"
    session.close()


# Latents


def test_what_is_captured_is_what_is_shown(session: Session, tell: Tell):
    shown = step(session)["z"]
    tell("capture")
    assert np.allclose(tell("look", capture=0)[0][0]["z"], shown, atol=1e-3)
    tell("scene", name="latents")
    tell("latent", z=(0.5, 0.0, -2.0, 1.0))
    ((gallery, _),) = tell("capture")
    assert gallery["captures"][1]["name"] == "of the latents"
    tell("latent", z=(0.0, 0.0, 0.0, 0.0))
    assert tell("look", capture=1)[0][0]["z"] == [0.5, 0.0, -2.0, 1.0]
    tell("scene", name="images")
    assert tell("capture") == []


def test_a_dream_begins_at_the_z_that_is_shown(session: Session, tell: Tell):
    tell("scene", name="latents")
    tell("latent", z=(0.5, 0.0, -2.0, 1.0))
    tell("scene", name="dream")
    tell("restart", start="latent", capture=-1)
    assert step(session)["z"] == [0.5, 0.0, -2.0, 1.0]


def test_the_picture_follows_z(session: Session, tell: Tell):
    seen = step(session)["z"]
    gallery, shown = tell("scene", name="latents")
    assert gallery[0]["captures"] == []
    assert np.allclose(shown[0]["z"], seen, atol=1e-3)
    ((header, blobs),) = tell("latent", z=(0.5, 0.0, -2.0, 1.0))
    assert header["z"] == [0.5, 0.0, -2.0, 1.0]
    expected = session.agent.model.decode(torch.tensor([[0.5, 0.0, -2.0, 1.0]]))[0]
    assert np.abs(picture(blobs[0]).astype(int) - expected).mean() < 4
    assert tell("latent", z=(1.0,)) == []


def test_the_way_between_two_captures_has_them_as_its_ends(session: Session, tell: Tell):
    tell("capture")
    for _ in range(4):
        session.advance()
    ((gallery, pictures),) = tell("capture")
    assert [capture["id"] for capture in gallery["captures"]] == [0, 1]
    assert len(pictures) == 2
    ends = [tell("look", capture=capture)[0][0]["z"] for capture in (0, 1)]
    way = [tell("between", first=0, second=1, share=share)[0][0]["z"] for share in (0.0, 0.5, 1.0)]
    assert np.allclose(way[0], ends[0], atol=2e-3)
    assert np.allclose(way[2], ends[1], atol=2e-3)
    assert not np.allclose(way[1], ends[0], atol=2e-3)
    assert len(tell("forget", capture=0)[0][0]["captures"]) == 1
    assert tell("between", first=0, second=1, share=0.5) == []
    assert tell("look", capture=0) == []


def test_captures_are_bounded(session: Session, tell: Tell):
    for _ in range(40):
        ((gallery, _),) = tell("capture")
    assert len(gallery["captures"]) == 24
    assert gallery["captures"][-1]["id"] == 39


def test_a_walk_changes_one_unit_in_each_row(session: Session, tell: Tell):
    ((header, blobs),) = tell("walk", z=(0.0, 0.0, 0.0, 0.0))
    sheet, side = picture(blobs[0]), header["side"]
    assert sheet.shape == (4 * side, header["columns"] * side, 3)
    middle = sheet[:, 3 * side : 4 * side].reshape(4, side, side, 3).astype(int)
    ends = sheet[:, :side].astype(int) - sheet[:, -side:]
    assert header["effects"] == pytest.approx(np.abs(ends).reshape(4, -1).mean(axis=1), abs=1.5)
    assert np.abs(middle - middle[0]).mean() < 4  # where every unit is zero, all rows show the same
    assert tell("walk", z=(0.0,)) == []


# Recording


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_the_last_seconds_become_a_video(kind: str, session: Session, tell: Tell):
    for _ in range(30):
        session.advance()
    tell("clip", format=kind, seconds=1.0)
    header, (content,) = unpack(session.jobs.pop()())
    assert header["name"].endswith(f"-real.{kind}")
    if kind == "gif":
        with Image.open(io.BytesIO(content)) as video:
            assert video.n_frames == pytest.approx(12, abs=2)
    else:
        with av.open(io.BytesIO(content)) as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert len(frames) == pytest.approx(25, abs=2)
        assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 0.1


def test_what_is_driven_is_kept_and_v_and_m_can_learn_from_it(session: Session, tell: Tell, drives: Drives, tmp_path):
    tell("record", on=True)
    seed = session.theatre.real.world.seed
    tell("keys", held=frozenset(("right",)))
    frames, moment = [session.theatre.real.world.frame], {"over": ""}
    while not moment["over"]:
        moment = step(session)
        frames.append(session.theatre.real.world.frame)
    assert moment["saved"] == 1
    (episode,) = list(drives.store)
    assert (episode.seed, episode.policy) == (seed, "human")
    assert np.array_equal(episode.observations, np.stack(frames))
    assert (episode.terminated[-1], episode.truncated[-1]) == (True, False)
    assert not episode.terminated[:-1].any()
    session.advance()
    tell("record", on=False)  # one that did not end is kept up to here
    assert len(drives.store) == 2
    vae = dataclasses.replace(TINY.vae, latent_size=4, steps=2, batch_size=4, log_every=1, checkpoint_every=2)
    mdnrnn = dataclasses.replace(TINY.mdnrnn, hidden_size=8, steps=2, batch_size=4, log_every=1, checkpoint_every=2)
    fit_vae(vae, tmp_path, [drives.store], torch.device("cpu"))
    fit_mdn_rnn(mdnrnn, tmp_path, [drives.store], torch.device("cpu"))
    assert WorldModel.load(tmp_path).observation_hash == session.agent.model.observation_hash


def test_episodes_in_which_nobody_drove_are_not_kept(session: Session, tell: Tell, drives: Drives):
    tell("record", on=True)
    for _ in range(5):
        session.advance()
    tell("record", on=False)
    assert not drives.run.exists()


def test_seeds_go_on_after_the_episodes_that_are_there(session: Session, tell: Tell, drives: Drives):
    tell("record", on=True)
    tell("keys", held=frozenset(("left",)))
    seed = session.theatre.real.world.seed
    session.advance()
    session.close()
    assert Drives(drives.run, session.agent.env).next_seed() == seed + 1


def test_two_servers_of_one_agent_do_not_overwrite_each_others_episodes(
    shared: Shared, drives: Drives, toy_agent: Agent, tmp_path: Path
):
    other = Session(Shared.of(Library(toy_agent, tmp_path, Drives(drives.run, toy_agent.env)), tmp_path))
    for session in (first := Session(shared), other):
        session.theatre.real.record(True)
        session.theatre.keys(frozenset(("left",)))
        session.advance()
    assert first.theatre.real.world.seed == other.theatre.real.world.seed
    other.advance()
    for session in (first, other):
        session.close()
    assert sorted(len(episode) for episode in drives.store) == [1, 2]
    assert len({episode.seed for episode in drives.store}) == 2


def test_an_episode_is_kept_until_it_is_saved(
    session: Session, tell: Tell, drives: Drives, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise UserError("The disk is full")

    def drive_to_the_end() -> None:
        while not step(session)["over"]:
            pass

    tell("record", on=True)
    tell("keys", held=frozenset(("right",)))
    seed = session.theatre.real.world.seed
    with monkeypatch.context() as disk:
        disk.setattr(drives, "save", full)
        with pytest.raises(UserError, match="disk is full"):
            drive_to_the_end()
        for attempt in (
            session.advance,
            lambda: tell("record", on=False),
            lambda: tell("restart", start="recorded", capture=-1),
        ):
            with pytest.raises(UserError, match="disk is full"):
                attempt()
    session.advance()
    (episode,) = list(drives.store)
    assert (episode.seed, bool(episode.terminated[-1])) == (seed, True)
    assert step(session)["saved"] == 1
    assert Stage(drives.run, "rollouts").manifest["steps"] == len(episode)


@pytest.mark.slow
def test_a_long_dream_takes_bounded_memory(session: Session, tell: Tell):
    """Forty seconds of the dream, 800 pictures, as fast as they can be computed: after the 20 seconds that a clip
    may show nothing grows any more. (``test_browser.py`` has a minute in real time, on request.)
    """
    tell("scene", name="dream")

    def kept_after(seconds: float) -> int:
        for _ in range(round(seconds / session.theatre.dream.world.seconds)):
            session.advance()
        return sum(len(blob) for kept in session.clips._past for blob in (*kept.views, *kept.tiles))

    full = kept_after(KEPT_SECONDS + 5)
    later = kept_after(10)
    tracemalloc.start()
    try:
        last = kept_after(5)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert full < 20e6
    assert max(later, last) < 1.1 * full
    assert grown < full + 3e6  # what came took the place of what went


def test_no_order_of_commands_ends_a_session(session: Session):
    """Two hundred commands, most of them sense in some order, now and then with steps between them."""
    rng = random.Random(0)
    values = {
        "name": lambda: rng.choice(SCENES),
        "start": lambda: rng.choice(STARTS),
        "held": lambda: frozenset(rng.sample(["left", "right"], rng.randint(0, 2))),
        "on": lambda: rng.random() < 0.5,
        "z": lambda: tuple(rng.gauss(0, 2) for _ in range(rng.choice([0, 4, 4, 9]))),
        "strengths": lambda: (1.0, 2.0),
        "store": lambda: rng.choice(STORES),
        "format": lambda: rng.choice(["mp4", "gif"]),
        "value": lambda: rng.choice([1, 2, 3]),
        "share": lambda: rng.random(),
        "seconds": lambda: 1.0,
        "truncation": lambda: 1.0,
    }
    names = [name for name in COMMANDS if name not in ("clip", "episode_export", "walk")]
    refused = 0
    for _ in range(200):
        name = rng.choice([*names, "scene", "scene"])
        arguments = {key: values.get(key, lambda: rng.choice([0, 1, 2, 77]))() for key in COMMANDS[name]}
        try:
            session.do(Command(name, arguments))
        except UserError:
            refused += 1
        session.jobs.clear()
        if session.theatre.show is not None and rng.random() < 0.3:
            session.advance()
    assert 0 < refused < 40
