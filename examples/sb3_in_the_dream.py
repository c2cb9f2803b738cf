"""Train a policy of Stable-Baselines3 inside a dream, then score it in the real world by the protocol.

python examples/sb3_in_the_dream.py                                   # in the dream of the released driver
python examples/sb3_in_the_dream.py --run runs/tiny-1 --steps 2000 --episodes 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
from stable_baselines3 import PPO

import worldmodels  # noqa: F401  (makes worldmodels/Dream-v0 known to Gymnasium)
from agents import evaluate
from agents.evaluation import table
from agents.stable_baselines import wrap


def main() -> None:
    """Dream, learn, wake up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="pretrained/carracing", help="whose dream")
    parser.add_argument("--steps", type=int, default=200_000, help="imagined steps")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes; a score takes 100")
    parser.add_argument("--out", type=Path, help="keep the agent as a run directory of its own")
    asked = parser.parse_args()

    dream = gymnasium.make("worldmodels/Dream-v0", run=asked.run, temperature=1.1, horizon=250)
    model = PPO("MlpPolicy", dream, device="cpu", seed=0)
    model.learn(asked.steps)

    agent = wrap(model, asked.run)
    if asked.out is not None:
        print(f"worldmodels watch --agent {agent.save(asked.out)}")
    print(table(evaluate(agent, asked.episodes)))


if __name__ == "__main__":
    main()
