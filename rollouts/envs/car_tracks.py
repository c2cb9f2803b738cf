"""CarRacing's tracks, kept in memory: to work one out takes half a reset, and a population drives on the same ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEPT = 128  #: tracks, those used last; each takes some 150 kB

Corners = list[tuple[float, float]]


@dataclass(frozen=True)
class Track:
    """What Gymnasium's ``_create_track`` made of some state of its random numbers. Shared, so never to be changed."""

    after: Any  #: the state of the random numbers then
    start_alpha: float
    track: list[tuple[float, float, float, float]]
    pieces: list[tuple[Corners, tuple[int, ...] | None]]  #: in drawing order; a color for what is no tile


_tracks: OrderedDict[tuple[int, int], Track] = OrderedDict()


def create(env: Any, create_track: Callable[[], bool]) -> bool:
    """As CarRacing's ``_create_track``, which is asked where this track was not made before.

    The world is the same to the last bit: bodies are created in the same order from the same numbers.
    """
    numbers = env.np_random.bit_generator
    before = (numbers.state["state"]["state"], numbers.state["state"]["inc"])
    if track := _tracks.get(before):
        _tracks.move_to_end(before)
        _build(env, track)
        return True
    if not create_track():
        return False
    tiles = {id(tile.color) for tile in env.road}
    pieces = [(corners, None if id(color) in tiles else color) for corners, color in env.road_poly]
    _tracks[before] = Track(numbers.state, env.start_alpha, env.track, pieces)
    if len(_tracks) > KEPT:
        _tracks.popitem(last=False)
    return True


def _build(env: Any, track: Track) -> None:
    env.np_random.bit_generator.state = track.after
    env.start_alpha, env.track, env.road = track.start_alpha, track.track, []
    for corners, color in track.pieces:
        env.road_poly.append((corners, _tile(env, corners).color if color is None else color))


def _tile(env: Any, corners: Corners) -> Any:
    index = len(env.road)
    env.fd_tile.shape.vertices = corners
    tile = env.world.CreateStaticBody(fixtures=env.fd_tile)
    tile.userData = tile
    tile.color = env.road_color + 0.01 * (index % 3) * 255
    tile.road_visited, tile.road_friction, tile.idx = False, 1.0, index
    tile.fixtures[0].sensor = True
    env.road.append(tile)
    return tile
