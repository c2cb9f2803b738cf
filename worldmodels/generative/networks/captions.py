"""Networks that read: a caption becomes a vector, which goes where a label would go."""

from __future__ import annotations

from torch import Tensor, nn

from worldmodels.generative.networks.modules import Critic, Generator


class CaptionEncoder(nn.Module):
    """Tokens ``[N, T]`` (0 is no word, before the first one) to a vector ``[N, size]`` in (-1, 1): a GRU's last word.

    Args:
        words: of the vocabulary.
    """

    def __init__(self, words: int, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, size, padding_idx=0)
        self.gru = nn.GRU(size, size, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        _, last = self.gru(self.embedding(tokens.long()))
        return last[0]


class TextConditional(nn.Module):
    """A generator or a critic whose condition is a caption, where others have a label.

    Args:
        network: takes ``classes`` numbers per sample as its label.
    """

    def __init__(self, network: Generator | Critic, reader: CaptionEncoder) -> None:
        super().__init__()
        self.network, self.reader = network, reader
        self.classes = network.classes
        self.latent_size = network.latent_size if isinstance(network, Generator) else 0

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        vector = self.reader(tokens).float()
        return self.network(x, vector)


