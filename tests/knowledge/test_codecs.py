import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import dump
from fedkd.knowledge import CODECS
from fedkd.knowledge.codecs.base import Before, Codec
from fedkd.knowledge.codecs.bfloat16 import BFloat16
from fedkd.knowledge.codecs.constrained import Constrained, quantise
from fedkd.knowledge.codecs.delta import Delta
from fedkd.knowledge.codecs.entropy import Entropy
from fedkd.knowledge.codecs.int8 import Int8
from fedkd.knowledge.codecs.top_k import TopK
from fedkd.testing import check_part

NAN, INF = float("nan"), float("inf")
VOTES = {"name": "constrained", "layout": "classes"}
COMPOSED: tuple[dict[str, Any], ...] = (
    {"name": "constrained", "bits": 8},
    VOTES,
    {"name": "top_k", "k": 20, "precision": "float32"},
    {"name": "delta", "of": "int8"},
    {"name": "delta", "of": "top_k", "tolerance": 0.1},
    {"name": "delta", "of": {"name": "entropy", "of": {"name": "constrained", "bits": 4}}},
    {"name": "entropy", "of": {"name": "delta", "of": VOTES}},
    {"name": "entropy", "of": VOTES, "coder": "lzma"},
)


def made(spec: str | Mapping[str, Any]) -> Codec:
    codec: Codec = CODECS.create(spec, key="codec")
    return codec


def back(codec: Codec, values: Tensor) -> Tensor:
    return codec.decode(codec.encode(values), tuple(values.shape))


def distributions(rows: int, classes: int, seed: int = 0) -> Tensor:
    logits = 3.0 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(dim=-1)


@pytest.mark.parametrize("spec", COMPOSED, ids=str)
def test_the_contract_holds_for_other_options_and_for_codecs_inside_codecs(spec: dict[str, Any]) -> None:
    assert [check for check in check_part(made(spec)) if not check.passed] == []


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        # 5,000 samples, 10 classes
        ("float32", 200_000),
        ("float16", 100_000),
        ("bfloat16", 100_000),
        ("int8", 5_000 * (8 + 10)),
        ("constrained", 6_250),
        ({"name": "constrained", "bits": 3}, 18_750),
        (VOTES, 2_500),
        ("top_k", 5_000 * 3 * (2 + 1)),
        ({"name": "top_k", "k": 1, "precision": "float32"}, 5_000 * (4 + 1)),
    ],
    ids=str,
)
def test_sizes_are_stated_in_advance(spec: Any, size: int) -> None:
    codec = made(spec)
    assert codec.fixed_size
    assert codec.num_bytes((5000, 10)) == size == codec.encode(distributions(5000, 10)).nbytes


def test_bfloat16_keeps_eight_bits_and_the_range_of_single_precision() -> None:
    said = torch.tensor([1.0, 1 + 2**-7, 1 + 2**-9, 3e38, 3.4e38, -3.4e38, NAN, INF])
    got = back(BFloat16(), said)
    assert got[:3].tolist() == [1.0, 1 + 2**-7, 1.0]
    assert got[3:6].isfinite().all()
    assert got[6].isnan()
    assert got[7].isinf()


def test_int8_is_affine_row_by_row() -> None:
    said = torch.tensor([[0.0, 1.0, 255.0], [-1.0, 0.0, 1.55], [7.0, 7.0, 7.0]])
    sent = Int8().encode(said)
    assert sent[:, 8:].tolist() == [[0, 1, 255], [0, 100, 255], [0, 0, 0]]
    head = sent[:, :8].copy().view(np.float32)
    assert np.allclose(head, [[0.0, 1.0], [-1.0, 0.01], [7.0, 0.0]])
    assert torch.allclose(back(Int8(), said), said, atol=1e-6)


def test_int8_is_no_further_off_than_half_a_step_also_for_extreme_numbers() -> None:
    for scale in (1.0, 1e4, 1e30):
        said = scale * torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
        step = (said.amax(dim=1) - said.amin(dim=1)) / 255
        assert ((back(Int8(), said) - said).abs() <= 0.5001 * step[:, None]).all()
    widest = torch.tensor([[-3.4e38, 3.4e38]])
    assert torch.allclose(back(Int8(), widest), widest, rtol=1e-6)


def test_the_constrained_grid_is_hit_where_the_distance_is_smallest() -> None:
    """With 2 bits the entries are thirds; of (.5, .4, .1), scaled (1.5, 1.2, .3), the largest remainder gets the third one."""
    probabilities = torch.tensor([[0.5, 0.4, 0.1], [0.0, 1.0, 0.0], [0.34, 0.33, 0.33]], dtype=torch.float64)
    assert quantise(probabilities, 3).tolist() == [[2, 1, 0], [0, 3, 0], [1, 1, 1]]
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    grid = grid[grid.sum(dim=1) == 3].double() / 3
    for row in distributions(50, 3).double():
        best = (grid - row).abs().sum(dim=1).min()
        found = (quantise(row[None], 3)[0].double() / 3 - row).abs().sum()
        assert float(found) == pytest.approx(float(best), abs=1e-9)


@pytest.mark.parametrize("layout", ["bits", "classes"])
def test_one_bit_is_the_vote(layout: Any) -> None:
    said = distributions(33, 7)
    expected = torch.nn.functional.one_hot(said.argmax(dim=1), 7).float()
    assert torch.equal(back(Constrained(layout=layout), said), expected)


@pytest.mark.parametrize(
    ("classes", "bits"), [(1, 1), (2, 2), (3, 2), (4, 4), (15, 4), (16, 8), (255, 8), (256, 16)]
)
def test_the_number_of_a_class_stands_within_a_byte(classes: int, bits: int) -> None:
    codec, said = Constrained(layout="classes"), distributions(8, classes)
    assert codec.num_bytes((8, classes)) == bits
    assert torch.equal(back(codec, said).argmax(dim=1), said.argmax(dim=1))


def test_what_is_no_distribution_cannot_be_passed_off_as_one() -> None:
    said = torch.tensor([[0.5, 0.5], [0.9, 0.9], [1.5, -0.5], [NAN, 1.0]])
    for codec in (Constrained(), Constrained(bits=8), Constrained(layout="classes")):
        got = back(codec, said)
        assert got[0].isfinite().all()
        assert got[1:].isnan().all()


def test_top_k_spreads_the_residual_mass_evenly() -> None:
    said = torch.tensor([[0.125, 0.5, 0.0625, 0.25, 0.0625]])
    got = back(TopK(k=2), said)
    assert torch.allclose(got, torch.tensor([[0.25 / 3, 0.5, 0.25 / 3, 0.25, 0.25 / 3]]))
    assert torch.equal(back(TopK(k=9, precision="float32"), said), said)


def test_the_number_of_a_class_takes_as_many_bytes_as_it_needs() -> None:
    assert TopK(k=1).num_bytes((1, 256)) == 3
    assert TopK(k=1).num_bytes((1, 257)) == 4
    said = distributions(3, 300)
    assert torch.allclose(back(TopK(k=300, precision="float32"), said), said)


def test_delta_sends_only_the_rows_that_changed() -> None:
    held = distributions(20, 10)
    said = held.clone()
    said[[3, 17]] = distributions(2, 10, seed=1)
    codec, before = Delta(), Before(held, torch.arange(20) != 5)
    sent = codec.encode_after(said, before)
    assert sent.nbytes == 3 + 3 * 40  # 20 bits, rows 3, 5 and 17
    assert torch.equal(codec.decode_after(sent, (20, 10), before), said)
    with pytest.raises(ValueError, match="copies of 17 rows that are not here"):
        codec.decode(sent, (20, 10))


def test_a_tolerance_leaves_out_what_moved_little_and_never_what_is_not_finite() -> None:
    held = torch.zeros(3, 4)
    said = torch.tensor([[0.1] * 4, [0.1, 0.1, 0.1, 0.3], [0.0, NAN, 0.0, 0.0]])
    codec, before = Delta(tolerance=0.2), Before(held, torch.ones(3, dtype=torch.bool))
    got = codec.decode_after(codec.encode_after(said, before), (3, 4), before)
    assert torch.equal(got[:2], torch.stack([held[0], said[1]]))
    assert got[2].isnan().any()


def test_votes_are_coded_close_to_their_entropy() -> None:
    """Sattler et al., equation 4: a message is as long as the entropy of its symbols, and what the coder wastes."""
    chance = np.random.Generator(np.random.PCG64(0))
    shares = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
    votes = torch.nn.functional.one_hot(torch.from_numpy(chance.choice(5, size=5000, p=shares)), 5).float()
    bound = 5000 / 8 * -(shares * np.log2(shares)).sum()
    size = Entropy(of=Constrained(layout="classes")).encode(votes).nbytes
    assert bound < size < 1.15 * bound
    assert size < Constrained(layout="classes").num_bytes((5000, 5))


def test_what_cannot_be_shortened_costs_one_byte() -> None:
    said = torch.randn(30, 10, generator=torch.Generator().manual_seed(0))
    assert Entropy().encode(said).nbytes == Int8().num_bytes((30, 10)) + 1 == Entropy().num_bytes((30, 10))


@pytest.mark.parametrize("spec", [*COMPOSED, "float32", "float16", "bfloat16", "int8", "top_k"], ids=str)
def test_bytes_that_no_sender_has_written_are_refused(spec: Any) -> None:
    for size in (0, 1, 7, 400):
        for value in (1, 255):
            sent = np.full(size, value, np.uint8)
            if sent.nbytes == made(spec).num_bytes((4, 10)):
                continue
            with pytest.raises(ValueError, match=r"sent|split"):
                made(spec).decode(sent, (4, 10))


@pytest.mark.parametrize(
    "spec",
    [*COMPOSED, {"name": "entropy", "of": "float32", "coder": "lzma"}, *CODECS.names()],
    ids=str,
)
def test_a_byte_more_or_less_is_refused(spec: Any) -> None:
    codec = made(spec)
    for rows in (0, 1, 7, 300):
        sent = codec.encode(distributions(rows, 10)).tobytes()
        for wrong in (sent + b"x", *([sent[:-1]] if sent else [])):
            with pytest.raises(ValueError, match=r"sent|split"):
                codec.decode(np.frombuffer(wrong, np.uint8), (rows, 10))


def test_a_long_message_cannot_hide_in_a_short_one() -> None:
    bomb = Entropy(of=Int8()).encode(torch.zeros(5000, 10))
    assert bomb.nbytes < 1000
    with pytest.raises(ValueError, match="expected 36"):
        Entropy(of=Int8()).decode(bomb, (2, 10))


def test_a_codec_inside_another_is_validated_and_written_down() -> None:
    codec = made({"name": "entropy", "of": {"name": "delta", "of": "constrained"}})
    assert codec == Entropy(of=Delta(of=Constrained()))
    assert dump(codec)["of"]["of"] == {"name": "constrained", "bits": 1, "layout": "bits"}
    assert codec.needs_probabilities
    assert codec.remembers
    assert not codec.fixed_size
    for spec, message in (
        ({"name": "delta", "of": {"name": "constrained", "bits": 9}}, r"codec\.of\.bits: got 9"),
        ({"name": "entropy", "of": "zip"}, r"codec\.of\.name: got 'zip'.*one of bfloat16"),
        ({"name": "entropy", "of": 3}, r"codec\.of: got 3"),
        ({"name": "delta", "of": "delta"}, "remembers nothing"),
        ({"name": "constrained", "bits": 2, "layout": "classes"}, "layout"),
    ):
        with pytest.raises(InvalidOption, match=message):
            made(spec)


def test_an_empty_message_is_a_message() -> None:
    for name in CODECS.names():
        codec = made(name)
        got = back(codec, torch.zeros(0, 10))
        assert got.shape == (0, 10), name
        assert codec.encode(torch.zeros(0, 10)).nbytes <= codec.num_bytes((0, 10)) <= math.ceil(1), name
