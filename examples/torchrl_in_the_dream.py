"""Train a policy with TorchRL's PPO inside a dream, then score it in the real world by the protocol.

python examples/torchrl_in_the_dream.py                                   # in the dream of the released driver
python examples/torchrl_in_the_dream.py --run runs/tiny-1 --steps 2048 --lanes 8 --episodes 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper, RewardSum, TransformedEnv
from torchrl.modules import IndependentNormal, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from agents import Agent, evaluate
from agents.evaluation import table
from agents.networks import NetworkSpec, flatten
from worldmodels import DreamVectorEnv

ROLLOUT, EPOCHS, MINIBATCHES = 64, 4, 8


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


def main() -> None:
    """Dream, learn, wake up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="pretrained/carracing_dream", help="whose dream")
    parser.add_argument("--steps", type=int, default=1_000_000, help="imagined steps")
    parser.add_argument("--lanes", type=int, default=128, help="dreams at once")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes; a score takes 100")
    parser.add_argument("--out", type=Path, help="keep the agent as a run directory of its own")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    dreams = DreamVectorEnv(arguments.lanes, arguments.run, horizon=250, dropout=0.1, autoreset_mode="Disabled")
    env = TransformedEnv(GymWrapper(dreams), RewardSum())
    inputs, outputs = env.observation_spec["observation"].shape[-1], env.action_spec.shape[-1]
    layers = perceptron(inputs, 2 * outputs)  # of the action: means, then spreads
    parameters = TensorDictModule(nn.Sequential(layers, NormalParamExtractor()), ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(
        parameters, ["loc", "scale"], distribution_class=IndependentNormal, return_log_prob=True
    )
    critic = ValueOperator(perceptron(inputs, 1), in_keys=["observation"])
    advantage = GAE(gamma=0.98, lmbda=0.95, value_network=critic, average_gae=True)
    objective = ClipPPOLoss(actor, critic, entropy_coeff=0.0, critic_coeff=0.5)
    optimiser = torch.optim.Adam(objective.parameters(), 3e-4)

    frames = ROLLOUT * arguments.lanes
    batches = Collector(
        env,
        actor,
        frames_per_batch=frames,
        total_frames=arguments.steps // frames * frames,
        auto_register_policy_transforms=False,
    )
    for number, batch in enumerate(batches, 1):
        for _ in range(EPOCHS):
            with torch.no_grad():
                advantage(batch)
            flat = batch.reshape(-1)
            for part in torch.randperm(len(flat)).chunk(MINIBATCHES):
                losses = objective(flat[part])
                loss = losses["loss_objective"] + losses["loss_critic"]
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(objective.parameters(), 0.5)
                optimiser.step()
        ends = batch["next", "episode_reward"][batch["next", "done"]]
        if number % 10 == 0 and len(ends):
            print(f"{number * frames:,} steps: dreamed return {ends.mean():.0f}")

    means = [(layer.weight, layer.bias) for layer in layers if isinstance(layer, nn.Linear)]
    means[-1] = (means[-1][0][:outputs], means[-1][1][:outputs])
    agent = Agent.of(arguments.run, NetworkSpec("zh", "mean", (64, 64), "tanh", "clip"), flatten(means))
    if arguments.out is not None:
        print(f"worldmodels watch --agent {agent.save(arguments.out)}")
    print(table(evaluate(agent, arguments.episodes)))


if __name__ == "__main__":
    main()
