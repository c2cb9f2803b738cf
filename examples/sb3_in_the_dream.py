"""Train a policy of Stable-Baselines3 inside a dream, then score it in the real world by the protocol.

python examples/sb3_in_the_dream.py                                   # in the dream of the released driver
python examples/sb3_in_the_dream.py --run runs/tiny-1 --steps 2048 --lanes 8 --episodes 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from agents import evaluate
from agents.evaluation import table
from agents.stable_baselines import wrap
from worldmodels.sb3_env import DreamVecEnv


def main() -> None:
    """Dream, learn, wake up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="pretrained/carracing_dream", help="whose dream")
    parser.add_argument("--steps", type=int, default=1_000_000, help="imagined steps")
    parser.add_argument("--lanes", type=int, default=128, help="dreams at once")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes; a score takes 100")
    parser.add_argument("--out", type=Path, help="keep the agent as a run directory of its own")
    arguments = parser.parse_args()

    dreams = VecMonitor(DreamVecEnv(arguments.lanes, run=arguments.run, horizon=250, dropout=0.1))
    sizes = {"n_steps": 64, "batch_size": 8 * arguments.lanes, "n_epochs": 4}
    model = PPO("MlpPolicy", dreams, **sizes, gamma=0.98, seed=0, device="cpu")
    model.learn(arguments.steps)
    if model.ep_info_buffer:
        print(f"dreamed return {np.mean([episode['r'] for episode in model.ep_info_buffer]):.0f}")

    agent = wrap(model, arguments.run)
    if arguments.out is not None:
        print(f"worldmodels watch --agent {agent.save(arguments.out)}")
    print(table(evaluate(agent, arguments.episodes)))


if __name__ == "__main__":
    main()
