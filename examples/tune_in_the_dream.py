"""Let Optuna choose what C is evolved with in a dream, by what the driver is worth in the real world.

pip install optuna
python examples/tune_in_the_dream.py --run runs/car --trials 20

Scores are those of validation seeds: evaluate the best agent on test seeds once, at the end. Repeat it to go on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import optuna
import torch

from agents import Agent
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from rollouts.runs.files import read_json


def main() -> None:
    """Try settings, keep every driver, name the best."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run with V, M and C")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=32, help="real episodes that judge a driver")
    asked = parser.parse_args()
    agent, tried = Agent.load(asked.run), asked.run / "tuned"
    tried.mkdir(exist_ok=True)
    fixed = ControllerConfig(
        world="dream", generations=asked.generations, validation_every=asked.generations, max_steps=250, gate=0
    )

    def objective(trial: optuna.Trial) -> float:
        options = replace(
            fixed,
            temperature=trial.suggest_float("temperature", 0.8, 1.5),
            dropout=trial.suggest_float("dropout", 0.0, 0.3),
            sigma=trial.suggest_float("sigma", 0.02, 0.3, log=True),
            validation_episodes=asked.episodes,
        )
        stage = evolve(options, agent.folder, agent.env, 0, torch.device("cpu"), into=tried / str(trial.number))
        return float(read_json(stage / "manifest.json")["validation"])

    study = optuna.create_study(
        direction="maximize", storage=f"sqlite:///{tried / 'study.db'}", study_name="dream", load_if_exists=True
    )
    study.optimize(objective, n_trials=asked.trials)
    print(f"Best: {study.best_params}, {study.best_value:.1f} on validation seeds, trial {study.best_trial.number}")


if __name__ == "__main__":
    main()
