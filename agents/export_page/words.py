"""What a page says of a world to people who have never heard of it."""

from __future__ import annotations

from dataclasses import dataclass

from rollouts.envs import EnvPreset


@dataclass(frozen=True)
class Words:
    """Words for one world."""

    title: str
    world: str  #: what it is, after "It learnt to dream of"
    total: str  #: what rewards add up to
    unit: str = ""  #: of a reward


_CAR = Words(
    "A dream of car racing",
    "a car on a winding road, seen from above, by watching it being driven",
    "points so far",
    "points",
)
_WORDS = {
    "carracing": _CAR,
    "carracing-fast": _CAR,
    "takecover": Words(
        "A dream of dodging fireballs",
        "a room full of monsters that throw fireballs at whoever stands in it, by watching somebody dodge",
        "moments survived",
    ),
}


def words_for(world: EnvPreset) -> Words:
    """The words for a world; plain ones for a world that has none of its own."""
    name = world.id.removeprefix("worldmodels/")
    return _WORDS.get(world.name) or Words(f"A dream of {name}", f"the world {name}, by watching it", "reward so far")
