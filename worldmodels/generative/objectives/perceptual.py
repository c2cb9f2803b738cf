"""A distance between pictures as a classifier sees them: VGG's features, where the user has its weights.

Johnson et al. (2016), section 3.2: the squared difference of features. The layers are those of VGG-16 (Simonyan &
Zisserman 2015), up to relu3_3; the file has the names and values of torchvision's: ``features.0.weight`` and so on, as
safetensors. Nothing of it is needed once a model is trained.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.training.checkpoint import load_tensors

#: Numbers of the convolutions in ``features``; a pooling lies where two numbers are missing.
LAYERS = (0, 2, 5, 7, 10, 12, 14)
HALVED = (5, 10)  #: convolutions that see a picture of half the side
SEEN = (2, 7, 14)  #: relu1_2, relu2_2, relu3_3 are compared
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  #: of the photos that VGG was trained on


class Perceptual(nn.Module):
    """``(output, x) -> scalar``: the mean squared difference of features, the mean over three layers.

    Pictures are ``[N, 1 or 3, S, S]`` in [-1, 1].
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            nn.Parameter(tensors[f"features.{layer}.{kind}"].float(), requires_grad=False)
            for layer in LAYERS
            for kind in ("weight", "bias")
        )

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each of the compared layers."""
        x = (x.expand(-1, 3, -1, -1) + 1) / 2
        x = (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(SD)[:, None, None]
        outputs = []
        for number, layer in enumerate(LAYERS):
            x = F.max_pool2d(x, 2) if layer in HALVED else x
            x = F.relu(F.conv2d(x, self.weights[2 * number], self.weights[2 * number + 1], padding=1))
            if layer in SEEN:
                outputs.append(x)
        return outputs

    def forward(self, output: Tensor, x: Tensor) -> Tensor:
        pairs = zip(self.features(output), self.features(x), strict=True)
        return torch.stack([(one.float() - other.float()).square().mean() for one, other in pairs]).mean()


def load_perceptual(path: Path, device: torch.device) -> Perceptual:
    """The distance, from a file.

    Raises:
        UserError: it is missing, damaged, or no VGG-16.
    """
    tensors = load_tensors(path)
    filters = 3
    for layer, count in zip(LAYERS, (64, 64, 128, 128, 256, 256, 256), strict=True):
        expected, name = [count, filters, 3, 3], f"features.{layer}.weight"
        actual = list(tensors[name].shape) if name in tensors and f"features.{layer}.bias" in tensors else None
        if actual != expected:
            raise UserError(
                f"{path} holds no VGG-16: {name} should be of shape {expected}, and is {actual or 'missing'}; save the "
                "features of torchvision's as safetensors."
            )
        filters = count
    return Perceptual(tensors).to(device)
