"""Pictures from pictures: pix2pix, for pairs, and CycleGAN, for two sets without pairs. All in [-1, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from worldmodels.generative.objectives.gan import Penalty
from worldmodels.generative.objectives.losses import LEAST_SQUARES, Adversarial, wide
from worldmodels.generative.objectives.penalties import refuse_batch_norm
from worldmodels.generative.objectives.players import MakeOptimiser
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit
from worldmodels.training.loop import Stateful

ErrorName = Literal["l1", "squared"]
Distance = Callable[[Tensor, Tensor], Tensor]
"""(pictures, pictures) -> scalar."""


def distance(output: Tensor, x: Tensor, error: ErrorName = "l1") -> Tensor:
    """Mean absolute or squared difference of all values."""
    difference = wide(output) - x
    return difference.abs().mean() if error == "l1" else difference.square().mean()


class Pix2Pix:
    """A translator against a critic that sees the input beside its translation. Isola et al. (2017), eq. 4.

    Args:
        generator: inputs ``[N, C', S, S]`` to pictures ``[N, C, S, S]``; its dropout is all the noise there is.
        critic: ``[N, C' + C, S, S]`` to logits; None for plain regression.
        game: the losses of both sides.
        error_weight: times the distance between a translation and the picture (lambda).
        penalty: a term of the critic's loss, times ``penalty_weight``, on its slope in the picture.
        perceptual: loads another distance between pictures, times ``perceptual_weight``; called when training
            begins.

    Raises:
        ValueError: a penalty on per-sample gradients meets a critic that normalises over its batch.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module | None,
        game: Adversarial,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        error_weight: float = 100.0,
        error: ErrorName = "l1",
        critic_steps: int = 1,
        penalty: Penalty | None = None,
        penalty_weight: float = 10.0,
        average_decay: float = 0.0,
        perceptual: Callable[[], Distance] | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        if penalty and critic:
            refuse_batch_norm(critic)
        self.generator, self.critic, self.game = generator, critic, game
        self.generator_optimiser = generator_optimiser(generator)
        self.critic_optimiser = critic_optimiser(critic) if critic else None
        self.error_weight, self.error, self.critic_steps = error_weight, error, critic_steps
        self.penalty, self.penalty_weight = penalty, penalty_weight
        self.average = Average(generator, average_decay)
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self._perceived: Distance | None = None

    def critic_loss(self, batch: Batch) -> Loss:
        """The critic's side: inputs with their pictures against inputs with their translations."""
        assert self.critic is not None
        condition = _condition(batch)
        with torch.no_grad():
            fake = wide(self.generator(condition))
        loss = self.game.critic(self._score(batch.x, condition), self._score(fake, condition))
        terms = {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake}
        if self.penalty is None:
            return Loss(loss.total, terms)
        penalty = self.penalty(lambda x: self._score(x, condition), batch.x, fake, batch)
        return Loss(loss.total + self.penalty_weight * penalty, {**terms, "penalty": penalty})

    def generator_loss(self, batch: Batch) -> Loss:
        """The generator's side: be taken for real, and be close to the picture."""
        condition = _condition(batch)
        fake = self.generator(condition)
        error = distance(fake, batch.x, self.error)
        total, terms = self.error_weight * error, {"error": error}
        if self.critic is not None:
            terms["generator"] = self.game.generator(self._score(fake, condition))
            total = total + terms["generator"]
        if self._perceived is not None:
            terms["perceptual"] = self._perceived(fake, batch.x)
            total = total + self.perceptual_weight * terms["perceptual"]
        return Loss(total, terms)

    def _score(self, x: Tensor, condition: Tensor) -> Tensor:
        assert self.critic is not None
        score: Tensor = self.critic(torch.cat([condition, x.to(condition.dtype)], 1))
        return score

    def units(self) -> list[Unit]:
        """The critic's updates, then the generator's."""
        if self.perceptual is not None:
            self._perceived = self.perceptual()
        generator = Unit("generator", self.generator_optimiser, self.generator_loss, after=self.average.update)
        if self.critic_optimiser is None:
            return [generator]
        return [Unit("critic", self.critic_optimiser, self.critic_loss, self.critic_steps), generator]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        parts: dict[str, Stateful] = {
            "generator": self.generator,
            "generator_optimiser": self.generator_optimiser,
            "average": self.average,
        }
        if self.critic is not None and self.critic_optimiser is not None:
            parts |= {"critic": self.critic, "critic_optimiser": self.critic_optimiser}
        return parts


class Buffer:
    """A pool of earlier fakes, so that a critic does not forget how to recognise them. Shrivastava et al. (2017), 2.3.

    Until the pool is full, it takes every fake, and returns it. Then each is, with probability 1/2, exchanged for one
    of the pool. Processes that train together have one pool: all know all fakes, and each gets its part.

    Args:
        capacity: how many it keeps; with 0, fakes pass unchanged.
    """

    def __init__(self, capacity: int = 50) -> None:
        self.capacity = capacity
        self.pool: list[Tensor] = []

    def exchange(self, fakes: Tensor, batch: Batch) -> Tensor:
        """As many fakes as ``fakes [N, ...]``, some of them earlier ones."""
        result, joint = [], batch.of_all(fakes)
        chances, places = torch.rand(2, len(joint), generator=batch.rng, dtype=batch.x.dtype)
        for fake, chance, place in zip(joint, chances, places, strict=True):
            if len(self.pool) < self.capacity:
                self.pool.append(fake.clone())
            elif self.pool and chance < 0.5:
                index = min(int(place * self.capacity), self.capacity - 1)
                fake, self.pool[index] = self.pool[index], fake.clone()
            result.append(fake)
        return batch.own(torch.stack(result))

    def state_dict(self) -> dict[str, Tensor]:
        return {str(index): fake for index, fake in enumerate(self.pool)}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.pool = [state_dict[str(index)] for index in range(len(state_dict))]


class CycleGAN:
    """Two translators, there and back, and a critic on either side. Zhu et al. (2017), eq. 3 and section 5.2.

    ``batch.x`` are pictures of the target set, ``batch.other`` of the source set.

    Args:
        there, back: others to pictures, pictures to others.
        critics: of pictures, and of others.
        cycle_weight: times the L1 between a picture and its translation there and back.
        identity_weight: times the L1 between a picture that is already of the target set and its translation; 0 where
            the two sides have different channels.
        capacity: of the buffer of earlier fakes, for each critic.
    """

    def __init__(
        self,
        there: nn.Module,
        back: nn.Module,
        critics: tuple[nn.Module, nn.Module],
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        capacity: int = 50,
        game: Adversarial = LEAST_SQUARES,
        average_decay: float = 0.0,
    ) -> None:
        self.generators = nn.ModuleDict({"there": there, "back": back})
        self.critics, self.game = nn.ModuleList(critics), game
        self.generator_optimiser, self.critic_optimiser = (
            generator_optimiser(self.generators),
            critic_optimiser(self.critics),
        )
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.buffers = Buffer(capacity), Buffer(capacity)
        self.average = Average(self.generators, average_decay)

    def generator_loss(self, batch: Batch) -> Loss:
        """Both translators: be taken for real, come back, leave alone what is right."""
        there, back = self.generators["there"], self.generators["back"]
        sides = self._sides(batch)
        fakes = there(sides[1]), back(sides[0])
        games = [self.game.generator(critic(fake)) for critic, fake in zip(self.critics, fakes, strict=True)]
        returned = there(fakes[1]), back(fakes[0])
        terms = {"generator": _sum(games), "cycle": _sum(map(distance, returned, sides))}
        total = terms["generator"] + self.cycle_weight * terms["cycle"]
        if self.identity_weight:
            terms["identity"] = _sum(map(distance, (there(sides[0]), back(sides[1])), sides))
            total = total + self.identity_weight * terms["identity"]
        return Loss(total, terms)

    def critic_loss(self, batch: Batch) -> Loss:
        """Both critics, on new and on earlier fakes."""
        sides = self._sides(batch)
        with torch.no_grad():
            fakes = self.generators["there"](sides[1]), self.generators["back"](sides[0])
        losses = []
        for critic, buffer, real, fake in zip(self.critics, self.buffers, sides, fakes, strict=True):
            shown = buffer.exchange(wide(fake), batch)
            losses.append(self.game.critic(critic(real), critic(shown)).total)
        return Loss(_sum(losses), {"critic": _sum(losses)})

    @staticmethod
    def _sides(batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.other is not None
        return batch.x, batch.other

    def units(self) -> list[Unit]:
        """The translators' update, then the critics', in the paper's order."""
        return [
            Unit("generators", self.generator_optimiser, self.generator_loss, after=self.average.update),
            Unit("critics", self.critic_optimiser, self.critic_loss),
        ]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {
            "generators": self.generators,
            "critics": self.critics,
            "generator_optimiser": self.generator_optimiser,
            "critic_optimiser": self.critic_optimiser,
            "buffer_of_pictures": self.buffers[0],
            "buffer_of_others": self.buffers[1],
            "average": self.average,
        }


def _condition(batch: Batch) -> Tensor:
    assert batch.condition is not None
    return batch.condition


def _sum(parts: Sequence[Tensor] | map[Tensor]) -> Tensor:
    first, *rest = parts
    return sum(rest, start=first)
