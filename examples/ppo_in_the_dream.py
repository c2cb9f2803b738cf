"""Proximal policy optimisation (Schulman et al. 2017) in one file, in a dream; then its score in the real world.

python examples/ppo_in_the_dream.py                                   # in the dream of the released driver
python examples/ppo_in_the_dream.py --run runs/tiny-1 --steps 4096 --lanes 8 --episodes 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import worldmodels  # noqa: F401  (makes worldmodels/Dream-v0 known to Gymnasium)
from agents import Agent, evaluate
from agents.evaluation import table
from agents.networks import NetworkSpec, flatten

ROLLOUT, EPOCHS, MINIBATCHES = 64, 4, 8
GAMMA, LAMBDA, CLIP, RATE = 0.98, 0.95, 0.2, 3e-4


def perceptron(inputs: int, outputs: int, last: float) -> nn.Sequential:
    """Two hidden layers; the last one begins small."""
    layers = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))
    nn.init.orthogonal_(layers[-1].weight, last)
    nn.init.zeros_(layers[-1].bias)
    return layers


def advantages(rewards: Tensor, values: Tensor, over: Tensor) -> Tensor:
    """Generalised advantage estimates ``[T, N]`` of rewards ``[T, N]``, values ``[T+1, N]`` and ends ``[T, N]``."""
    estimate, out = torch.zeros_like(rewards[0]), torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        goes_on = 1 - over[t]
        error = rewards[t] + GAMMA * values[t + 1] * goes_on - values[t]
        estimate = error + GAMMA * LAMBDA * goes_on * estimate
        out[t] = estimate
    return out


def main() -> None:
    """Dream, learn, wake up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="pretrained/carracing_dream", help="whose dream")
    parser.add_argument("--steps", type=int, default=2_000_000, help="imagined steps")
    parser.add_argument("--lanes", type=int, default=128, help="dreams at once")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes; a score takes 100")
    parser.add_argument("--out", type=Path, help="keep the agent as a run directory of its own")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    dream = gymnasium.make_vec(
        "worldmodels/Dream-v0", arguments.lanes, run=arguments.run, horizon=250, dropout=0.1, autoreset_mode="SameStep"
    )
    inputs, outputs = dream.single_observation_space.shape[0], dream.single_action_space.shape[0]
    actor, critic, spread = perceptron(inputs, outputs, 0.01), perceptron(inputs, 1, 1.0), torch.zeros(outputs) - 0.7
    parameters = [*actor.parameters(), *critic.parameters(), spread.requires_grad_()]
    optimiser = torch.optim.Adam(parameters, RATE)
    features, running, finished = torch.from_numpy(dream.reset(seed=0)[0]), torch.zeros(arguments.lanes), [0.0]

    for update in range(1, arguments.steps // (ROLLOUT * arguments.lanes) + 1):
        rows: dict[str, list[Tensor]] = {name: [] for name in ("features", "action", "log_p", "reward", "over")}
        with torch.no_grad():
            for _ in range(ROLLOUT):
                policy = Normal(actor(features), spread.exp())
                action = policy.sample()
                following, reward, terminated, truncated, _ = dream.step(action.numpy())
                reward, over = torch.from_numpy(reward).float(), torch.from_numpy(terminated | truncated).float()
                row = (features, action, policy.log_prob(action).sum(-1), reward, over)
                for name, value in zip(rows, row, strict=True):
                    rows[name].append(value)
                running += reward
                finished = [*finished, *running[over > 0].tolist()][-arguments.lanes :]
                running, features = running * (1 - over), torch.from_numpy(following)
            data = {name: torch.stack(values) for name, values in rows.items()}
            values = critic(torch.cat((data["features"], features[None]))).squeeze(-1)
            data["advantage"] = advantages(data["reward"], values, data["over"])
            data["target"] = data["advantage"] + values[:-1]
        flat = {name: value.flatten(0, 1) for name, value in data.items()}
        for part in (part for _ in range(EPOCHS) for part in torch.randperm(len(flat["reward"])).chunk(MINIBATCHES)):
            one = {name: value[part] for name, value in flat.items()}
            policy = Normal(actor(one["features"]), spread.exp())
            ratio = (policy.log_prob(one["action"]).sum(-1) - one["log_p"]).exp()
            gain = (one["advantage"] - one["advantage"].mean()) / (one["advantage"].std() + 1e-8)
            clipped = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            loss = 0.5 * (critic(one["features"]).squeeze(-1) - one["target"]).square().mean() - clipped
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 0.5)
            optimiser.step()
        if update % 10 == 0:
            print(f"{update * ROLLOUT * arguments.lanes:,} steps: dreamed return {sum(finished) / len(finished):.0f}")

    spec = NetworkSpec("zh", "mean", (64, 64), "tanh", "clip")
    layers = [(layer.weight, layer.bias) for layer in actor if isinstance(layer, nn.Linear)]
    agent = Agent.of(arguments.run, spec, flatten(layers))
    if arguments.out is not None:
        print(f"worldmodels watch --agent {agent.save(arguments.out)}")
    print(table(evaluate(agent, arguments.episodes)))


if __name__ == "__main__":
    main()
