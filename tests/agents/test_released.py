"""The released agents do what they did when they were released, to the last digit."""

from __future__ import annotations

import pytest

from agents import Agent
from agents.fitness import PoolEvaluator, RealTask

# carracing_dream and takecover were measured at commit a9f90a0, before the modules moved; the same with and without
# AVX-512.
EXPECTED = {
    "carracing": ((0, 1, 2), 60, [248.727279, 332.363643, 238.686572]),
    "carracing_dream": ((0, 1, 2), 60, [182.896556, 208.727275, 155.104481]),
    "carracing_ppo": ((0, 1, 2), 60, [142.144204, 186.909092, 134.208958]),
    "takecover": ((0, 1, 6), 160, [160.0, 160.0, 139.0]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_three_episodes_score_as_before(name):
    seeds, most, returns = EXPECTED[name]
    if name == "takecover":
        pytest.importorskip("vizdoom")
    agent = Agent.load(f"pretrained/{name}")
    with PoolEvaluator(RealTask(agent.model, agent.env, agent.spec), 0, len(seeds)) as evaluator:
        outcome = evaluator(agent.parameters.double().numpy()[None], seeds, most)
    assert outcome.returns.tolist() == pytest.approx(returns, abs=1e-5)
