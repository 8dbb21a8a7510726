import torch
from torch import nn

from fedkd.models import MODELS
from fedkd.models._costs import costs_of, seconds_apiece
from fedkd.models.base import Signature

SIGNATURE = Signature({"image": (1, 8, 8)}, num_outputs=10)


def test_a_matrix_product_counts_a_multiplication_and_an_addition_as_two() -> None:
    network = MODELS.create({"name": "logistic"}, key="model").build(SIGNATURE)
    assert costs_of(network, SIGNATURE) == (64 * 10 + 10, 2 * 64 * 10)


def test_a_convolution_counts_each_place_of_its_kernel() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    assert costs_of(network, SIGNATURE).flops == 2 * (3 * 4 * 4 * 25 + 3 * 4 * 4 * 10)


def test_counting_leaves_the_mode_and_the_statistics_of_a_network_alone() -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    costs_of(network, SIGNATURE)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_that_does_much_more_takes_longer() -> None:
    small, large = nn.Linear(64, 10), nn.Sequential(nn.Linear(64, 2000), nn.Linear(2000, 2000))
    short, long = seconds_apiece([small, large], {"features": torch.zeros(256, 64)}, repeats=5)
    assert long > short
