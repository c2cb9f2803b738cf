"""Which seeds are for what. The ranges do not overlap, so no reported score was ever selected on.

A seed decides one whole episode (track, policy noise, latent samples): never the worker, never the lane.
"""

from __future__ import annotations

from rollouts.errors import UserError

RANGE = 1_000_000_000
TEST = 0  #: reported scores: seeds 0, 1, 2, ...
VALIDATION = 1 * RANGE  #: choosing checkpoints
COLLECTION = 2 * RANGE  #: training data; hidden from fitness
EVOLUTION = 3 * RANGE  #: fitness; below 2**32, as environments and Box2D expect
HUMAN = 4 * RANGE  #: what people drive on the live page, and what they watch there

MAX_EPISODES_PER_ROUND = 10_000_000


def collection_seed(round_index: int, episode: int) -> int:
    """Seed of one recorded episode; every round of an iterated run has its own.

    Raises:
        UserError: there are more rounds, or more episodes in a round, than seeds for them.
    """
    if not (0 <= round_index < RANGE // MAX_EPISODES_PER_ROUND and 0 <= episode < MAX_EPISODES_PER_ROUND):
        raise UserError(
            f"There are seeds for {RANGE // MAX_EPISODES_PER_ROUND} rounds of {MAX_EPISODES_PER_ROUND:,} episodes; "
            f"episode {episode:,} of round {round_index} is beyond them."
        )
    return COLLECTION + round_index * MAX_EPISODES_PER_ROUND + episode


def evolution_seed(run_seed: int, generation: int, rollout: int) -> int:
    """Seed of one fitness rollout, the same for every candidate of a generation (common random numbers)."""
    return EVOLUTION + (run_seed * 7_919_993 + generation * 1_009 + rollout) % RANGE


def held_out(seed: int) -> bool:
    """Whether a recorded episode is kept out of training V and M, for their diagnostics: one in ten."""
    return seed % 10 == 9
