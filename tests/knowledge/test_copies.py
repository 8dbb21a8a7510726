import pytest
import torch
from flwr.app import RecordDict

from fedkd.knowledge import BadPackage, Package
from fedkd.knowledge.codecs.delta import Delta
from fedkd.knowledge.codecs.int8 import Int8
from fedkd.knowledge.copies import Copies, receive, send
from fedkd.knowledge.package import payload_of


def said(ids: list[int], values: list[float]) -> Package:
    rows = torch.tensor(values)[:, None].expand(-1, 2)
    return Package("logits", {"values": rows}, ids=torch.tensor(ids))


def test_copies_are_kept_by_id_and_the_last_one_counts() -> None:
    first = said([9, 2], [0.9, 0.2])
    copies = Copies.none().updated(torch.tensor([9, 2]), first.values)
    copies = copies.updated(torch.tensor([5, 9]), said([5, 9], [0.5, 1.9]).values)
    assert copies.ids.tolist() == [2, 5, 9]
    held = copies.at(torch.tensor([9, 7, 2]), (2,))
    assert held.known.tolist() == [True, False, True]
    assert held.values[[0, 2], 0].tolist() == pytest.approx([1.9, 0.2])
    assert not copies.at(torch.tensor([9]), (3,)).known.any()
    assert Copies.of(copies.record()).digest() == copies.digest() != Copies.none().digest()


def test_of_texts_the_places_whose_answers_moved_are_sent_again() -> None:
    values = torch.arange(12.0).view(2, 3, 2)
    moved = values.clone()
    moved[1, 2] += 1.0
    here = there = Copies.none()
    for said_now, rows in ((values, 6), (moved, 1)):
        package = Package("logits", {"values": said_now}, ids=torch.tensor([8, 4]))
        records, here = send(package, Delta(), here)
        content = RecordDict({**records})
        got, there = receive(content, there)
        assert torch.equal(got.values, said_now)
        assert here.digest() == there.digest()
        assert payload_of(content) == 1 + rows * 8


def test_the_first_message_says_everything_and_the_next_one_what_is_new() -> None:
    here = there = Copies.none()
    sizes = []
    for package in (said([1, 2, 3], [1.0, 2.0, 3.0]), said([3, 2, 4], [3.0, 2.5, 4.0])):
        records, here = send(package, Delta(), here)
        content = RecordDict({**records})
        got, there = receive(content, there)
        assert torch.equal(got.values, package.values)
        assert here.digest() == there.digest()
        sizes.append(payload_of(content))
    assert sizes == [1 + 3 * 8, 1 + 2 * 8]
    assert there.ids.tolist() == [1, 2, 3, 4]


def test_what_is_held_is_what_was_read_and_not_what_was_meant() -> None:
    package = Package("logits", {"values": torch.tensor([[0.0, 0.123, 1.0]])}, ids=torch.tensor([1]))
    records, here = send(package, Delta(of=Int8()), Copies.none())
    got, _ = receive(RecordDict({**records}), Copies.none())
    assert not torch.equal(got.values, package.values)
    assert torch.equal(here.values, got.values)


def test_a_receiver_without_the_copy_says_so() -> None:
    _, here = send(said([1], [1.0]), Delta(), Copies.none())
    records, _ = send(said([1], [1.0]), Delta(), here)
    with pytest.raises(ValueError, match="copies of 1 rows that are not here"):
        receive(RecordDict({**records}), Copies.none())


def test_knowledge_without_ids_has_no_copies() -> None:
    with pytest.raises(BadPackage, match="no ids"):
        send(Package("class_means", {"values": torch.eye(2)}), Delta(), Copies.none())
