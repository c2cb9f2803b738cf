"""What every translator does beside its network: it starts from its input, and copies all that is outside of holes."""

from __future__ import annotations

from torch import Tensor, nn


class Translator(nn.Module):
    """Inputs ``[N, C', S, S]`` in [-1, 1] to pictures ``[N, C, S, S]``, about in [-1, 1].

    Args:
        body: ``[N, C', S, S] -> [N, C, S, S]`` in [-1, 1].
        channels: C.
        begins: the input's first channels are a picture (a grey one, for all channels), to which twice the body's
            output is added: the way from -1 to 1.
        holes: the input's last channel is 1 where the picture is to be made, and -1 where it is kept.
    """

    def __init__(self, body: nn.Module, channels: int, begins: bool = False, holes: bool = False) -> None:
        super().__init__()
        self.body, self.channels, self.begins, self.holes = body, channels, begins, holes

    def forward(self, condition: Tensor) -> Tensor:
        output = self.body(condition)
        if self.begins:
            output = beginning(condition, self.channels, self.holes) + 2 * output
        if self.holes:
            hole = (condition[:, -1:] + 1) / 2
            output = hole * output + (1 - hole) * condition[:, : self.channels]
        return output


def beginning(condition: Tensor, channels: int, holes: bool) -> Tensor:
    """The picture that an input begins with, ``[N, channels, S, S]``."""
    picture = condition[:, :-1] if holes else condition
    return picture if picture.shape[1] == channels else picture.expand(-1, channels, -1, -1)
