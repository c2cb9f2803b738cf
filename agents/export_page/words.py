"""What a page says of a world to people who have never heard of it."""

from __future__ import annotations

from dataclasses import dataclass

from rollouts.envs.config import EnvPreset


@dataclass(frozen=True)
class Words:
    """Words for one world."""

    title: str
    world: str  #: what it is, after "A neural network that has watched"
    total: str  #: what rewards add up to


_CAR = Words("A dream of car racing", "a car on winding roads, seen from above,", "points so far")
_WORDS = {
    "carracing": _CAR,
    "carracing-fast": _CAR,
    "takecover": Words(
        "A dream of dodging fireballs",
        "somebody in a room full of monsters that throw fireballs",
        "moments survived",
    ),
}


def words_for(world: EnvPreset) -> Words:
    """The words for a world; plain ones for a world that has none of its own."""
    name = world.id.removeprefix("worldmodels/")
    return _WORDS.get(world.name) or Words(f"A dream of {name}", f"the world {name}", "reward so far")
