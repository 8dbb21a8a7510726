"""Matrices of low rank: which rank is kept, what is lost, and how many bytes cross."""

from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import RecordDict
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.knowledge import CODECS, Package, from_records, to_records
from fedkd.knowledge.codecs.base import in_bytes
from fedkd.knowledge.codecs.low_rank import LowRank, factors
from fedkd.knowledge.package import payload_of
from fedkd.testing import check_part

VALUES = (4.0, 2.0, 1.0, 1.0)
"""Singular values; their squares 16, 4, 1, 1 are 72.7, 90.9, 95.5 and 100 % of the energy when they are added up."""


def matrix(values: tuple[float, ...] = VALUES, rows: int = 20, columns: int = 30) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(side, len(values), generator=draw, dtype=torch.float64))[0]
        for side in (rows, columns)
    )
    return (left * torch.tensor(values, dtype=torch.float64)) @ right.T


def back(codec: LowRank, values: Tensor) -> Tensor:
    return codec.decode(codec.encode(values), tuple(values.shape))


@pytest.mark.parametrize("energy", [0.3, 0.9, 1.0])
def test_the_contract_holds_at_any_energy(energy: float) -> None:
    assert [check for check in check_part(LowRank(energy=energy)) if not check.passed] == []


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.5, 1), (0.72, 1), (0.73, 2), (0.9, 2), (0.92, 3), (0.96, 4), (1.0, 4)]
)
def test_the_smallest_rank_above_the_energy_is_kept_and_nothing_else_crosses(
    energy: float, rank: int
) -> None:
    said = matrix()
    left, right = factors(said, energy)
    assert (left.shape, right.shape) == ((20, rank), (rank, 30))
    sent = LowRank(energy=energy).encode(said.float())
    assert sent.nbytes == 4 * rank * (20 + 30) < LowRank().num_bytes((20, 30)) == 4 * 600
    lost = sum(value**2 for value in VALUES[rank:])
    assert float((left @ right - said).square().sum()) == pytest.approx(lost, abs=1e-9)
    got = back(LowRank(energy=energy), said.float()).double()
    assert float((got - said).square().sum()) == pytest.approx(lost, abs=1e-4)
    assert float(got.square().sum()) > (energy - 1e-5) * float(said.square().sum())


def test_full_energy_loses_nothing_but_the_rounding_of_single_precision() -> None:
    said = matrix().float()
    torch.testing.assert_close(back(LowRank(energy=1.0), said), said, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("energy", [0.3, 0.6, 0.95])
def test_of_any_matrix_at_least_the_energy_is_kept(energy: float) -> None:
    said = torch.randn(16, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, right = factors(said, energy)
    kept = (left @ right).square().sum() / said.square().sum()
    assert energy < float(kept) <= 1.0
    fewer = (left[:, :-1] @ right[:-1]).square().sum() / said.square().sum()
    assert float(fewer) <= energy


@pytest.mark.parametrize(
    ("values", "size"),
    [
        (torch.randn(12, generator=torch.Generator().manual_seed(0)), 48),  # a bias
        (torch.tensor(3.0), 4),
        (torch.eye(8), 4 * 64),  # of full rank
        (torch.zeros(20, 30), 0),
        (torch.full((20, 30), 2.0), 4 * 50),
    ],
)
def test_what_is_no_matrix_or_would_not_become_shorter_goes_whole(values: Tensor, size: int) -> None:
    codec = LowRank(energy=0.99)
    assert codec.encode(values).nbytes == size <= codec.num_bytes(tuple(values.shape))
    torch.testing.assert_close(back(codec, values), values)


def test_a_convolution_is_the_matrix_of_its_output_channels() -> None:
    said = matrix(rows=8, columns=6 * 9).float()
    assert LowRank(energy=0.5).encode(said.reshape(8, 6, 3, 3)).nbytes == 4 * (8 + 54)
    got = back(LowRank(energy=0.5), said.reshape(8, 6, 3, 3))
    assert torch.equal(got.reshape(8, 54), back(LowRank(energy=0.5), said))


def test_a_network_crosses_array_by_array_in_the_bytes_that_the_formula_says() -> None:
    arrays = {"weight": matrix().float(), "bias": torch.arange(20.0), "steps": torch.tensor(7)}
    content = RecordDict({**to_records(Package("updates", arrays), LowRank(energy=0.9))})
    assert payload_of(content) == 4 * 2 * (20 + 30) + 4 * 20 + 8
    got = from_records(content).arrays
    assert torch.equal(got["bias"], arrays["bias"])
    assert torch.equal(got["steps"], arrays["steps"])
    torch.testing.assert_close(got["weight"], back(LowRank(energy=0.9), arrays["weight"]))


def test_it_is_read_inside_another_codec_and_by_any_number_of_threads() -> None:
    said = matrix().float()
    coded = CODECS.create({"name": "entropy", "of": {"name": "low_rank", "energy": 0.9}}, key="codec")
    ends = []
    for count in (1, 2):
        torch.set_num_threads(count)
        ends.append((LowRank(energy=0.9).encode(said).tobytes(), back(LowRank(energy=0.9), said)))
    torch.set_num_threads(1)
    assert ends[0][0] == ends[1][0]
    assert torch.equal(ends[0][1], ends[1][1])
    assert torch.equal(coded.decode(coded.encode(said), (20, 30)), ends[0][1])


@pytest.mark.parametrize("size", [4, 100, 4 * 50 + 1, 4 * 600 + 4])
def test_bytes_that_no_sender_has_written_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="sent"):
        LowRank().decode(np.ones(size, np.uint8), (20, 30))


def test_bytes_of_a_matrix_are_read_as_its_numbers() -> None:
    said = matrix().float()
    for energy in (0.5, 1.0):
        codec = LowRank(energy=energy)
        assert torch.equal(codec.decode(in_bytes(codec.encode(said)), (20, 30)), back(codec, said))


@pytest.mark.parametrize("energy", [0.0, 1.1, float("nan")])
def test_an_energy_is_a_share(energy: Any) -> None:
    with pytest.raises(InvalidOption, match=r"codec\.energy"):
        CODECS.create({"name": "low_rank", "energy": energy}, key="codec")
