"""Networks of a user's own, for tests: a module that workers can import."""

from __future__ import annotations

import torch
from torch import nn


def perceptron(features: int, classes: int = 1, hidden: int = 16) -> nn.Module:
    """Two layers."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


class Kept(nn.Module):
    """With running statistics, dropout, a frozen layer, a tied weight and a count of the batches."""

    def __init__(self, features: int, classes: int, hidden: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(0.2)
        self.frozen = nn.Linear(hidden, hidden)
        self.frozen.requires_grad_(False)
        self.tied = nn.Linear(hidden, hidden)
        self.again = nn.Linear(hidden, hidden)
        self.again.weight = self.tied.weight
        self.last = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        h = self.dropout(torch.relu(self.norm(self.first(x))))
        h = torch.tanh(self.tied(h) + self.frozen(h))
        return self.last(torch.tanh(self.again(h)))


class Bag(nn.Module):
    """A linear model that takes sparse rows as bags."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(features, classes, mode="sum")
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, indices: torch.Tensor, offsets: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.weights(indices, offsets, per_sample_weights=values) + self.bias


class Rows(nn.Module):
    """A linear model that takes sparse rows as one tensor."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(features, classes))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return rows @ self.weights


class Pictures(nn.Module):
    """A small convolutional network for digits of 8 by 8."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Linear(6 * 16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithms of the classes' probabilities."""
        h = self.pool(torch.relu(self.norm(self.convolution(x))))
        return torch.log_softmax(self.last(torch.flatten(h, 1)), dim=1)


class Repeated(nn.Module):
    """How often its layer is used depends on the rows, so it is no sequence of operators."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, features)
        self.last = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        for _ in range(2 if float(x.detach().sum()) > 0 else 1):
            x = torch.relu(self.layer(x))
        return self.last(x)


def coder(features: int) -> nn.Module:
    """A network that gives back what it is given."""
    return nn.Sequential(nn.Linear(features, 2), nn.Linear(2, features))


def difference(output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """The squared difference of each row, a loss of the user's own."""
    return ((output - given) ** 2).mean(dim=1)


def absolute(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean absolute difference, a loss of the user's own."""
    return (output.reshape(-1) - labels).abs().mean()


def doubled(features: int, classes: int) -> nn.Module:
    """A layer of float64."""
    return nn.Linear(features, classes).double()


def lazy(classes: int) -> nn.Module:
    """A layer that does not know its size yet."""
    return nn.LazyLinear(classes)


def frozen(features: int, classes: int) -> nn.Module:
    """A layer that does not learn."""
    return nn.Linear(features, classes).requires_grad_(False)
