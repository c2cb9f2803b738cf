"""V as a feature extractor: encode frames of an environment, and see what a linear map reads from its 32 numbers.

python examples/v_as_features.py
python examples/v_as_features.py --run runs/tiny-1 --steps 60
"""

from __future__ import annotations

import argparse

import numpy as np

from rollouts import make_env
from rollouts.policies import POLICIES
from worldmodels import WorldModel


def main() -> None:
    """Record frames and rewards, encode, fit least squares, report R² on the second half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="pretrained/carracing", help="whose V")
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()

    model = WorldModel.load(arguments.run)
    env = make_env(model.env)
    policy = POLICIES["held"](0, env.action_spec)
    frame, _ = env.reset(seed=0)
    frames = [frame]
    while len(frames) < arguments.steps:
        frame, _, terminated, truncated, _ = env.step(policy(frame))
        if terminated or truncated:
            frame, _ = env.reset(seed=len(frames))
        frames.append(frame)

    pictures = np.stack(frames)
    mean, _ = model.encode(pictures)  # uint8 [N, 64, 64, 3] -> [N, latent_size]
    inputs = np.column_stack([mean.numpy(), np.ones(len(mean))])
    green = pictures[..., 1].mean((1, 2)) / 255  # anything that can be computed from pixels: here, how much grass
    half = len(inputs) // 2
    weights, *_ = np.linalg.lstsq(inputs[:half], green[:half], rcond=None)
    error = green[half:] - inputs[half:] @ weights
    print(f"z tells the mean green of a frame with R² {1 - error.var() / green[half:].var():.3f}")


if __name__ == "__main__":
    main()
