"""The task: scikit-learn's digits, a small network, and how it is trained. Every part of it is plain PyTorch."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fedkd.data.samples import Samples

PUBLIC, TEST, STRETCHES = 400, 400, 4


class Net(nn.Module):
    """Two layers on 8 x 8 images; returns class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [batch, 10] of images [batch, 1, 8, 8]."""
        return self.layers(images)


def _digits() -> tuple[Samples, Tensor]:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    targets = torch.tensor(digits.target)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    return Samples({"image": images}, targets, torch.arange(len(targets))), order


def public_data() -> Samples:
    """Return the samples that server and clients share; an id names the same image everywhere."""
    digits, order = _digits()
    return digits.take(order[:PUBLIC])


def test_data() -> Samples:
    """Return the samples that the server judges by."""
    digits, order = _digits()
    return digits.take(order[PUBLIC : PUBLIC + TEST])


def private_data(partition: int, num_partitions: int) -> tuple[Samples, Samples]:
    """Return what one client trains on and what it holds out: four stretches of the samples sorted by class."""
    digits, order = _digits()
    private = order[PUBLIC + TEST :]
    by_class = private[digits.targets[private].argsort(stable=True)]
    shards = by_class.tensor_split(STRETCHES * num_partitions)
    own = torch.cat(shards[partition::num_partitions])
    own = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(partition))]
    held_out = len(own) // 5
    return digits.take(own[held_out:]), digits.take(own[:held_out])


def train(
    network: Net, images: Tensor, targets: Tensor, *, epochs: int, lr: float, generator: torch.Generator
) -> float:
    """Train in place on classes [n] or on class probabilities [n, 10]; returns the mean loss of the last pass."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    loss_sum = 0.0
    for _ in range(epochs):
        loss_sum = 0.0
        for batch in torch.randperm(len(images), generator=generator).split(32):
            loss = F.cross_entropy(network(images[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(batch)
    return loss_sum / len(images)


@torch.no_grad()
def accuracy(network: nn.Module, samples: Samples) -> float:
    """Return the share of samples whose class the network names."""
    return (network(samples.inputs["image"]).argmax(dim=1) == samples.targets).float().mean().item()
