"""Fans of futures, the wake-up game, ghosts, nightmares and recorded episodes, without a server."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from agents.live import Session
from agents.live.fan import FUTURES
from agents.live.nightmares import APART, KEPT
from agents.live.packets import picture, unpack
from agents.live.recorder import Drives
from agents.live.replay import relive
from agents.viewing.moments import RealWorld
from rollouts import Episode, EpisodeStore, UserError
from rollouts.runs.stage import Stage
from tests.agents.live.conftest import Tell
from tests.agents.live.test_session import step


def job(session: Session) -> tuple[dict, list[bytes]]:
    return unpack(session.jobs.pop()())


# The fan


def test_a_fan_begins_in_the_shown_moment_and_spreads(session: Session, tell: Tell):
    for _ in range(3):
        shown = step(session)
    before = session.theatre.real.now[0].clone()
    tell("fan")
    header, blobs = job(session)
    assert header["futures"] == FUTURES
    assert len(blobs) == 2 * header["stops"]
    assert header["spread"][0] == 0
    assert min(header["spread"][1:]) > 0
    expected = session.agent.model.decode(torch.tensor([shown["z"]]))[0]
    assert np.abs(picture(blobs[0]).astype(int) - expected).mean() < 4
    sheet = picture(blobs[-1])
    side = sheet.shape[0] // 4
    assert len({sheet[: 2 * side : side, : 2 * side : side].tobytes(), sheet[side:, side:].tobytes()}) == 2
    assert torch.equal(session.theatre.real.now[0], before)  # nothing of what is on the page has moved
    tell("fan")
    assert job(session)[0]["spread"] != header["spread"]  # other luck each time


def test_without_luck_all_futures_are_one(session: Session, tell: Tell):
    session.advance()
    tell("temperature", value=0.0)
    tell("fan")
    header, _ = job(session)
    assert max(header["spread"]) < 1e-5
    assert header["least"] == header["most"]


def test_a_fan_says_which_part_of_the_picture_is_seen(session: Session, tell: Tell):
    session.advance()
    tell("fan")
    assert job(session)[0]["field"] == [0.0, 1.0, 0.0, 1.0]
    tell("scene", name="latents")
    tell("fan")
    assert not session.jobs


# The game


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Games of the length of toy's episodes."""
    monkeypatch.setattr("agents.live.game.EARLIEST", 0.1)
    monkeypatch.setattr("agents.live.game.LATEST", 0.3)


def play(session: Session, tell: Tell, steps: int) -> list[dict]:
    tell("scene", name="game")
    return [step(session) for _ in range(steps)]


@pytest.mark.usefixtures("soon")
def test_a_game_does_not_give_itself_away(session: Session, tell: Tell):
    moments = play(session, tell, 20)
    assert {moment["phase"] for moment in moments} == {"play"}
    assert {(moment["twins"], tuple(moment["tiles"]), moment["surprise"], moment["end"]) for moment in moments} == {
        (0, (), None, 0.0)
    }
    assert len({tuple(sorted(moment)) for moment in moments}) == 1


@pytest.mark.usefixtures("soon")
def test_reality_comes_first_and_the_dream_goes_on_from_it(session: Session, tell: Tell):
    seconds = session.theatre.real.world.seconds
    tell("scene", name="game")
    switch = session.theatre.game._switch
    assert round(0.1 / seconds) <= switch <= round(0.3 / seconds)
    pictures = [picture(unpack(session.advance())[1][0]).astype(int) for _ in range(switch + 1)]
    seen = session.agent.model.decode(session.theatre.real.place[0])[0]
    assert np.abs(pictures[-1] - seen).mean() < 4  # the dream begins where reality is
    for _ in range(3):
        session.advance()
    assert session.theatre.game.twin.step_count == 4


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("late", [-1, 4])
def test_a_guess_is_followed_by_the_truth(late: int, session: Session, tell: Tell):
    tell("scene", name="game")
    switch = session.theatre.game._switch
    for _ in range(switch + late):
        session.advance()
    tell("guess")
    tell("guess")  # only the first counts
    truth = step(session)
    assert (truth["phase"], truth["switch"], truth["guess"]) == ("told", switch, switch + late)
    assert truth["twins"] == (late > 0)
    assert len(truth["tiles"]) == 3
    assert truth["apart"] > 0 if late > 0 else truth["apart"] == 0
    tell("restart", start="recorded", capture=-1)
    assert step(session)["phase"] == "play"


@pytest.mark.usefixtures("soon")
def test_an_endless_player_is_told(session: Session, tell: Tell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.game.LONGEST", 0.1)
    tell("scene", name="game")
    moments = [step(session) for _ in range(session.theatre.game._switch + 4)]
    assert (moments[-1]["phase"], moments[-1]["guess"]) == ("told", None)


# The ghost


def test_a_ghost_drives_the_same_seed_as_the_agent_would_alone(session: Session, tell: Tell):
    tell("scene", name="ghost")
    tell("keys", held=frozenset(("right",)))
    moments = [step(session) for _ in range(6)]
    ghost = session.theatre.ghost._last
    assert ghost is not None
    assert (moments[-1]["twins"], ghost.step) == (1, 5)
    alone = RealWorld(session.agent)
    alone.reset(session.theatre.real.world.seed)
    expected = [alone.step() for _ in range(6)][-1]
    alone.close()
    assert np.allclose(ghost.z, expected.z)
    assert moments[-1]["lead"] == pytest.approx(moments[-1]["total"] - expected.total, abs=0.06)
    assert moments[-1]["ghost"] is None  # toy does not say where another block would be
    tell("restart", start="recorded", capture=-1)
    step(session)
    assert session.theatre.ghost.ghost.seed == session.theatre.real.world.seed


def test_a_ghost_at_its_end_waits(session: Session, tell: Tell):
    tell("scene", name="ghost")
    step(session)
    last = session.theatre.ghost._last
    assert last is not None
    session.theatre.ghost._last = type(last)(**{**vars(last), "over": "It has ended."})
    assert [step(session)["twin_over"] for _ in range(3)] == ["It has ended."] * 3
    assert session.theatre.ghost.ghost.step_count == 1


# Nightmares


def test_the_worst_moments_are_kept_apart_from_each_other(session: Session, tell: Tell):
    surprises = {}
    for _ in range(60):
        moment = step(session)
        if moment["surprise"] is not None:
            surprises[moment["seed"], moment["step"]] = moment["surprise"]
    ((header, blobs),) = tell("nightmares")
    moments = header["nightmares"]
    assert 0 < len(moments) <= KEPT
    assert len(blobs) == len(moments)
    assert [one["surprise"] for one in moments] == sorted((one["surprise"] for one in moments), reverse=True)
    assert moments[0]["surprise"] == pytest.approx(max(surprises.values()), abs=0.01)
    for seed in {one["seed"] for one in moments}:
        steps = sorted(one["step"] for one in moments if one["seed"] == seed)
        assert all(np.diff(steps) * session.theatre.real.world.seconds >= APART)


def test_a_dream_begins_in_a_nightmare(session: Session, tell: Tell):
    for _ in range(20):
        step(session)
    key = tell("nightmares")[0][0]["nightmares"][0]["id"]
    place = session.nightmares.place(key)
    assert place is not None
    tell("scene", name="dream")
    tell("restart", start="nightmare", capture=key)
    assert np.allclose(step(session)["z"], place[0][0].numpy(), atol=1e-3)
    assert session.nightmares.place(10**6) is None


def test_recorded_episodes_are_looked_through(session: Session, tell: Tell, recorded: list[Episode]):
    tell("scan")
    header, _ = job(session)
    assert {one["seed"] for one in header["nightmares"]} <= {episode.seed for episode in recorded}
    worst = max(moment.surprise or 0 for one in recorded for moment, _ in relive(session.agent, one))
    assert header["nightmares"][0]["surprise"] == pytest.approx(worst, abs=0.01)


# Recorded episodes


@pytest.fixture
def recorded(session: Session, drives: Drives, toy_episodes: list[Episode], tmp_path: Path) -> list[Episode]:
    """Two episodes that people drove, and one for training."""
    own = EpisodeStore(tmp_path / "own")
    session.shelf.stores["recorded"] = own
    own.append(toy_episodes[2])
    for episode in toy_episodes[:2]:
        drives.save(episode)
    return toy_episodes[:3]


def test_episodes_are_listed_and_their_surprise_is_measured(session: Session, tell: Tell, recorded: list[Episode]):
    ((header, _),) = tell("episodes")
    assert header["all"] == 3
    rows = {(row["store"], row["seed"]): row for row in header["episodes"]}
    one = rows["driven", recorded[0].seed]
    assert (one["steps"], one["policy"], one["surprise"]) == (len(recorded[0]), recorded[0].policy, None)
    assert one["total"] == pytest.approx(recorded[0].total_reward, abs=0.06)
    assert ("recorded", recorded[2].seed) in rows
    tell("episode_measure")
    header, _ = job(session)
    surprise = {row["seed"]: row["surprise"] for row in header["episodes"]}
    expected = np.mean([moment.surprise for moment, _ in relive(session.agent, recorded[0]) if moment.step])
    assert surprise[recorded[0].seed] == pytest.approx(expected, abs=2e-3)


def test_an_episode_is_played_as_it_was(session: Session, tell: Tell, recorded: list[Episode]):
    episode = recorded[0]
    tell("scene", name="episodes")
    assert session.idle  # nothing to show yet
    assert tell("step") == []
    tell("episode_play", store="driven", seed=episode.seed)
    assert not session.idle
    for at in range(len(episode)):
        header, blobs = unpack(session.advance())
        assert np.allclose(header["action"], episode.actions[at], atol=1e-3)
        assert header["policy"] == episode.policy
        assert header["reward"] == pytest.approx(float(episode.rewards[at]), abs=1e-3)
        assert np.abs(picture(blobs[0]).astype(int) - episode.observations[at]).mean() < 4
        assert bool(header["over"]) == (at == len(episode) - 1)
    assert step(session)["step"] == 0  # again
    tell("capture")
    assert "recorded" in unpack(session.latents.gallery())[0]["captures"][0]["name"]


def test_an_episode_is_deleted_and_the_stage_knows(session: Session, tell: Tell, recorded: list[Episode], drives):
    ((header, _),) = tell("episode_delete", seed=recorded[0].seed)
    assert header["all"] == 2
    manifest = Stage(drives.run, "rollouts").manifest
    assert (manifest["episodes"], manifest["steps"]) == (1, len(recorded[1]))
    with pytest.raises(UserError, match="no episode"):
        tell("episode_delete", seed=recorded[0].seed)
    with pytest.raises(UserError, match="no episode"):
        tell("episode_delete", seed=recorded[2].seed)  # not one that somebody drove
    tell("episode_delete", seed=recorded[1].seed)
    assert not (drives.run / "rollouts").exists()
    with pytest.raises(UserError, match="not a readable episode"):
        tell("episode_play", store="driven", seed=recorded[1].seed)


def test_an_episode_is_exported_whole(session: Session, tell: Tell, recorded: list[Episode]):
    episode = min(recorded[:2], key=len)
    tell("episode_export", store="driven", seed=episode.seed, format="mp4")
    header, (content,) = job(session)
    assert header["name"] == f"toy-episode-{episode.seed}.mp4"
    with av.open(io.BytesIO(content)) as video:
        frames = sum(1 for _ in video.decode(video=0))
    assert frames == pytest.approx(len(episode) * session.theatre.real.world.seconds * 25, abs=2)


def test_a_damaged_episode_is_left_out(session: Session, tell: Tell, recorded: list[Episode], drives: Drives):
    drives.store.file(recorded[0].seed).write_bytes(b"no episode")
    assert len(tell("episodes")[0][0]["episodes"]) == 2
    tell("episode_measure")
    assert len(job(session)[0]["episodes"]) == 2
