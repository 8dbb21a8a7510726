import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedkd.knowledge import ABOUT, ARRAYS, CODECS, BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float16 import Float16
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.codecs.int8 import Int8
from fedkd.knowledge.package import payload_of
from fedkd.models import MODELS
from fedkd.runtime.flower_internals import deserialise, serialise

NAN, INF = float("nan"), float("inf")


def across(package: Package, codec: Codec) -> Package:
    """Send a package as the bytes of a real Flower message."""
    return from_records(deserialise(serialise(RecordDict({**to_records(package, codec)}))))


def logits(n: int = 5, classes: int = 3) -> Package:
    values = torch.randn(n, classes, generator=torch.Generator().manual_seed(0))
    return Package("logits", {"values": values}, ids=torch.arange(n).flip(0) * 7)


@pytest.mark.parametrize(("codec", "exact"), [(Float32(), True), (Float16(), False)])
def test_a_package_crosses_the_wire_with_its_ids(codec: Codec, exact: bool) -> None:
    sent = logits()
    received = across(sent, codec)
    assert received.kind == "logits"
    assert received.ids is not None
    assert torch.equal(received.ids, torch.tensor([28, 21, 14, 7, 0]))
    assert received.counts is None
    assert received.values.dtype == torch.float32
    assert torch.allclose(received.values, sent.values, rtol=1e-3)
    assert torch.equal(received.values, sent.values) == exact


def test_class_means_cross_the_wire_with_their_counts() -> None:
    received = across(
        Package("class_means", {"values": torch.eye(3)}, counts=torch.tensor([4, 0, 1])), Float32()
    )
    assert received.ids is None
    assert received.counts is not None
    assert received.counts.tolist() == [4, 0, 1]


def test_weights_cross_the_wire_with_names_shapes_and_whole_numbers() -> None:
    network = MODELS.create("lenet", key="model").network((1, 8, 8), 10)
    arrays = {**network.state_dict(), "steps": torch.tensor(7)}
    received = across(Package("weights", arrays), Float32())
    assert received.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert torch.equal(received.arrays[name], array), name
        assert received.arrays[name].shape == array.shape, name
        assert received.arrays[name].dtype == array.dtype, name


def test_what_was_received_can_be_changed_without_touching_the_message() -> None:
    content = RecordDict({**to_records(logits(), Float32())})
    from_records(content).values.zero_()
    assert torch.equal(from_records(content).values, logits().values)


def test_double_precision_is_sent_in_four_bytes() -> None:
    package = Package("logits", {"values": torch.ones(5, 3, dtype=torch.float64)}, ids=torch.arange(5))
    assert payload_of(RecordDict({**to_records(package, Float32())})) == 4 * 15


@pytest.mark.parametrize(("name", "size"), [("float32", 4), ("float16", 2)])
@pytest.mark.parametrize("shape", [(5000, 10), (1,), (3, 0), ()])
def test_a_codec_states_the_exact_size_of_what_it_sends(name: str, size: int, shape: tuple[int, ...]) -> None:
    codec: Codec = CODECS.create(name, key="codec")
    assert codec.name == name
    assert codec.num_bytes(shape) == codec.encode(torch.zeros(shape)).nbytes == size * int(np.prod(shape))


def test_half_precision_keeps_eleven_bits_saturates_and_hides_nothing_that_is_not_finite() -> None:
    codec = Float16()
    said = torch.tensor([1.0, 1 + 2**-10, 1e6, -1e6, NAN, INF])
    received = codec.decode(codec.encode(said), (6,))
    assert received[:4].tolist() == [1.0, 1 + 2**-10, 65504.0, -65504.0]
    assert received[4].isnan()
    assert received[5].isinf()


def test_the_payload_is_what_arrays_weigh_without_ids_counts_and_envelope() -> None:
    package = logits(100, 10)
    for codec, size in ((Float32(), 4), (Float16(), 2)):
        content = RecordDict({**to_records(package, codec)})
        assert payload_of(content) == size * 100 * 10
        assert len(serialise(content)) > payload_of(content)


def test_the_payload_of_plain_weights_is_four_bytes_a_parameter() -> None:
    network = MODELS.create("logistic", key="model").network((1, 8, 8), 10)
    weights = ArrayRecord(network.state_dict())
    assert payload_of(RecordDict({ARRAYS: weights})) == 4 * 650
    assert payload_of(RecordDict({"weights": weights})) == 4 * 650
    assert payload_of(RecordDict({"ask": ArrayRecord({"ids": Array(np.arange(9))})})) == 0
    assert payload_of(RecordDict()) == 0


def test_the_scores_of_probabilities_are_their_logarithms_and_stay_finite_at_zero() -> None:
    package = Package("probabilities", {"values": torch.tensor([[0.25, 0.75], [0.0, 1.0]])})
    assert torch.allclose(package.scores()[0].exp(), package.values[0])
    assert package.scores().isfinite().all()
    assert torch.equal(logits().scores(), logits().values)


@pytest.mark.parametrize(
    ("kind", "shape", "value", "message"),
    [
        ("probabilities", (5, 3), 0.0, "sent logits, expected probabilities"),
        ("logits", (5, 4), 0.0, r"sent values of shape \[5, 3\], expected \[5, 4\]"),
        ("logits", (5, 3), NAN, "not finite"),
        ("logits", (5, 3), INF, "not finite"),
    ],
)
def test_a_package_of_another_kind_or_shape_or_with_nan_is_refused(
    kind: str, shape: tuple[int, ...], value: float, message: str
) -> None:
    values = logits().values.clone()
    values[2, 1] = value
    with pytest.raises(BadPackage, match=message):
        Package("logits", {"values": values}).require(kind, shape)


def test_a_message_without_knowledge_is_refused() -> None:
    with pytest.raises(BadPackage, match="sent no knowledge"):
        from_records(RecordDict({"config": ConfigRecord({})}))


def test_knowledge_under_an_unknown_codec_is_refused_and_still_has_a_size() -> None:
    content = RecordDict({**to_records(logits(), Float32())})
    content.config_records[ABOUT]["codec"] = "morse"
    with pytest.raises(BadPackage, match=r"codec that is not known here .*'morse'"):
        from_records(content)
    assert payload_of(content) == 4 * 15


def test_a_codec_of_another_package_is_found_again_by_its_full_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halves_of_mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from fedkd.knowledge.codecs.float16 import Float16\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Halves(Float16):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    codec: Codec = CODECS.create("halves_of_mine:Halves", key="codec")
    assert codec.name == "halves_of_mine:Halves"
    assert torch.allclose(across(logits(), codec).values, logits().values, rtol=1e-3)


def test_a_message_cannot_make_its_receiver_import_a_module() -> None:
    content = RecordDict({**to_records(logits(), Float32())})
    content.config_records[ABOUT]["codec"] = "this:Anything"
    with pytest.raises(BadPackage, match="loaded itself"):
        from_records(content)
    assert "this" not in sys.modules


@pytest.mark.parametrize("codec", [Float32(), Int8()])
def test_labels_cross_as_they_are_under_any_codec_and_count_as_payload(codec: Codec) -> None:
    package = Package(
        "features", {"values": torch.rand(3, 4)}, ids=torch.arange(3), targets=torch.tensor([7, 0, 300])
    )
    received = across(package, codec)
    assert received.targets is not None
    assert received.targets.tolist() == [7, 0, 300]
    sent = RecordDict({**to_records(package, codec)})
    assert payload_of(sent) == codec.num_bytes((3, 4)) + 3 * 8


def test_scores_are_found_by_the_ids_of_samples_in_any_order() -> None:
    package = Package(
        "probabilities",
        {"values": torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])},
        ids=torch.tensor([9, 2, 5]),
    )
    assert torch.equal(package.scores_of(torch.tensor([5, 9])), package.scores()[[2, 0]])
    assert package.scores_of(torch.tensor([], dtype=torch.long)).shape == (0, 2)
    for missing in (1, 3, 10):
        with pytest.raises(BadPackage, match=f"nothing about sample {missing}"):
            package.scores_of(torch.tensor([9, missing]))
    with pytest.raises(BadPackage, match="nothing about sample 4"):
        Package("logits", {"values": torch.zeros(0, 2)}, ids=torch.arange(0)).scores_of(torch.tensor([4]))
    with pytest.raises(BadPackage, match="without the ids"):
        Package("logits", {"values": torch.zeros(1, 2)}).scores_of(torch.tensor([4]))
