"""CarRacing's physics in less time: what Gymnasium computes, in the same order and to the last bit.

Gymnasium's ``Car.step`` works on NumPy's single numbers and asks Box2D for the same things several times over, and its
world has a body for each of 300 tiles, all of which Box2D visits in every step. Plain floats round as NumPy's do, and
tiles that lie still can be the fixtures of one body.
"""

from __future__ import annotations

import math
from typing import Any

from Box2D import b2Filter, b2Vec2
from Box2D.b2 import contactListener
from gymnasium.envs.box2d.car_dynamics import ENGINE_POWER, FRICTION_LIMIT, SIZE, WHEEL_MOMENT_OF_INERTIA, Car
from gymnasium.envs.box2d.car_racing import FPS

DT = 1.0 / FPS
_POWER = DT * ENGINE_POWER
_STIFFNESS = 205000 * SIZE * SIZE  #: force for a difference in speed between tyre and ground
_BRAKE = 15.0  #: radians per second that full brakes take off in a step; above 0.9 they block the wheel
_NO_HULL = b2Filter(categoryBits=0x0001, maskBits=0xFFFE, groupIndex=0)  #: as a tile has it, but for the hull's bit


class Drive:
    """One car's controls and tyres, instead of ``Car.steer``, ``gas``, ``brake`` and ``step``.

    All that changes stays where Gymnasium keeps it, in the wheels' attributes; only ``Car.fuel_spent``, which
    CarRacing sets to zero after every step, is left at that.
    """

    def __init__(self, car: Car) -> None:
        self.car = car
        # A body's place, rotation and velocity are no copies: asked for once, they always show the present.
        self._wheels = [
            (vars(body), body.joint, body.position, body.transform.q, body.linearVelocity, body.ApplyForceToCenter)
            for body in car.wheels
        ]
        self.place: b2Vec2 = car.hull.position  #: where the car is, now and later

    def control(self, steer: float, gas: float, brake: float) -> None:
        """Front wheels turn to ``steer``, the gas of the rear ones rises by 0.1 a step at most, all of them brake."""
        gas = 0.0 if gas < 0 else 1.0 if gas > 1 else gas
        for index, (state, *_) in enumerate(self._wheels):
            state["brake"] = brake
            if index < 2:
                state["steer"] = steer
            else:
                more = gas - state["gas"]
                state["gas"] += 0.1 if more > 0.1 else more

    def step(self) -> None:
        """Turn the wheels, and push the car with what the tyres hold; the world has not moved yet."""
        for state, joint, place, rotation, velocity, push in self._wheels:
            turn = 50.0 * (state["steer"] - joint.angle) + 0.0  # no zero is negative
            joint.motorSpeed = 3.0 if turn > 3.0 else -3.0 if turn < -3.0 else turn

            grass, limit = True, FRICTION_LIMIT * 0.6
            for tile in state["tiles"]:
                grass, friction = False, FRICTION_LIMIT * tile.road_friction
                if friction > limit:
                    limit = friction

            sine, cosine = rotation.s, rotation.c
            forward_x, forward_y = 0.0 - sine, cosine  # Box2D turns (0, 1) and (1, 0): no zero is negative
            side_x, side_y = cosine, 0.0 + sine
            velocity_x, velocity_y = velocity.x, velocity.y

            omega = state["omega"]
            omega += _POWER * state["gas"] / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
            brake = state["brake"]
            if brake >= 0.9:
                omega = 0.0
            elif brake > 0:
                less = min(abs(omega), _BRAKE * brake)
                omega += less if omega < 0 else -less
            state["phase"] += omega * DT

            radius = state["wheel_rad"]
            along = -(forward_x * velocity_x + forward_y * velocity_y) + omega * radius
            across = -(side_x * velocity_x + side_y * velocity_y)
            along *= _STIFFNESS
            across *= _STIFFNESS
            force = math.sqrt(along * along + across * across)
            if force > 2.0 * limit:
                self._skid(state, place, grass)
            else:
                state["skid_start"] = state["skid_particle"] = None
            if force > limit:
                along = along / force * limit
                across = across / force * limit
            state["omega"] = omega - DT * along * radius / WHEEL_MOMENT_OF_INERTIA
            push((across * side_x + along * forward_x, across * side_y + along * forward_y), True)

    def _skid(self, state: dict[str, Any], place: b2Vec2, grass: bool) -> None:
        """A sliding wheel goes on with its trace, or begins one, of which it needs two points."""
        trace, start = state["skid_particle"], state["skid_start"]
        if trace and trace.grass == grass and len(trace.poly) < 30:
            trace.poly.append((place.x, place.y))
        elif start is None:
            state["skid_start"] = place
        else:
            state["skid_particle"] = self.car._create_particle(start, place, grass)
            state["skid_start"] = None


class Tile:
    """A tile of the road, as CarRacing keeps it, but for its body: a fixture of the one that all tiles share."""

    idx: int
    color: Any
    road_visited: bool
    road_friction: float

    def __init__(self, fixture: Any) -> None:
        self.fixtures = [fixture]
        self.userData: Any = None
        self.painted = False  #: in the road's colour, as its first contact leaves it


class Road:
    """The tiles of a world: one body. It takes the world's place where Gymnasium makes a body for each.

    Fixtures come and go in the order in which Gymnasium's bodies do, so that Box2D numbers them alike and reports
    contacts in the same order.
    """

    def __init__(self, world: Any) -> None:
        self._body = world.CreateStaticBody()
        self.tiles: dict[int, Tile] = {}  #: by their fixtures' hashes

    def CreateStaticBody(self, fixtures: Any) -> Tile:  # noqa: N802 (Box2D's name)
        """A tile where Gymnasium asks for a body."""
        fixture = self._body.CreateFixture(fixtures)
        tile = self.tiles[hash(fixture)] = Tile(fixture)
        return tile

    def clear(self) -> None:
        """Take all tiles out of the world."""
        for tile in self.tiles.values():
            self._body.DestroyFixture(tile.fixtures[0])
        self.tiles.clear()


class Contacts(contactListener):
    """What happens when something comes onto a tile or leaves it: ``FrictionDetector`` for a :class:`Road`."""

    def __init__(self, env: Any, road: Road) -> None:
        contactListener.__init__(self)
        self._env, self._tiles = env, road.tiles
        self._touched: dict[int, set[Tile]] = {}

    def watch(self, car: Car) -> None:
        """From now on note which tiles the wheels of this car are on."""
        self._touched = {hash(wheel.fixtures[0]): wheel.tiles for wheel in car.wheels}

    def BeginContact(self, contact: Any) -> None:  # noqa: N802 (Box2D's name)
        tile, touched = self._between(contact)
        if tile is None:
            return
        if not tile.painted:
            tile.color[:], tile.painted = self._env.road_color, True
            tile.fixtures[0].filterData = _NO_HULL  # all that the hull can do is to paint
        if touched is None:  # by the hull
            return
        touched.add(tile)
        if not tile.road_visited:
            tile.road_visited = True
            self._visited(tile)

    def EndContact(self, contact: Any) -> None:  # noqa: N802 (Box2D's name)
        tile, touched = self._between(contact)
        if tile is not None and touched is not None:
            touched.remove(tile)

    def _between(self, contact: Any) -> tuple[Tile | None, set[Tile] | None]:
        """The tile, and the tiles that the wheel is on; none of these for other things."""
        one, other = hash(contact.fixtureA), hash(contact.fixtureB)
        if tile := self._tiles.get(one):
            return tile, self._touched.get(other)
        return self._tiles.get(other), self._touched.get(one)

    def _visited(self, tile: Tile) -> None:
        env = self._env
        env.reward += 1000.0 / len(env.track)
        env.tile_visited_count += 1
        if tile.idx == 0 and env.tile_visited_count / len(env.track) > env.lap_complete_percent:
            env.new_lap = True
