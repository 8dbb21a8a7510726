import numpy as np
import pytest
import torch

from fedkd.data.datasets.japanese_vowels import JapaneseVowels
from fedkd.data.datasets.orl_faces import OrlFaces
from fedkd.data.federated import federate
from fedkd.data.partitions.natural import Natural
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams


@pytest.mark.parametrize("data", [OrlFaces(), JapaneseVowels()])
def test_nobody_is_in_two_parts_and_everybody_has_as_many_samples(data: OrlFaces | JapaneseVowels) -> None:
    loaded = data.load(Streams(0))
    people = [
        part.targets.unique(return_counts=True) for part in (loaded.train, loaded.validation, loaded.test)
    ]
    assert sorted(torch.cat([who for who, _ in people]).tolist()) == list(range(data.num_labels))
    assert torch.cat([count for _, count in people]).unique().tolist() == [data.each]
    assert loaded.info.task == "recognition"


@pytest.mark.parametrize("data", [OrlFaces(unseen=False), JapaneseVowels(unseen=False)])
def test_people_who_are_all_seen_are_classes(data: OrlFaces | JapaneseVowels) -> None:
    loaded = data.load(Streams(0))
    assert loaded.info.task == "classification"
    assert loaded.train.targets.unique().tolist() == list(range(data.num_labels))
    assert sum(map(len, (loaded.train, loaded.validation, loaded.test))) == data.rows


def test_a_share_of_people_that_is_nobody_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"data\.validation: got 0.05, allowed is a share of 9 people"):
        JapaneseVowels(validation=0.05).sizes()


def test_faces_are_shrunk_by_the_mean_of_their_pixels() -> None:
    whole, half = (OrlFaces(shrink=shrink).read().views["image"] for shrink in (1, 2))
    assert half.shape == (400, 1, 56, 46)
    assert np.allclose(half[7, 0, 3, 5], whole[7, 0, 6:8, 10:12].mean())
    assert dict(OrlFaces(shrink=4).views) == {"image": (1, 28, 23)}


def test_series_are_zero_after_their_length() -> None:
    views = JapaneseVowels().read().views
    after = np.arange(29) >= views["length"][:, None]
    assert (views["length"].min(), views["length"].max()) == (7, 29)
    assert (views["series"].transpose(0, 2, 1)[after] == 0).all()
    assert (views["series"].transpose(0, 2, 1)[~after] != 0).any(axis=1).all()


def test_each_person_in_training_can_be_a_client() -> None:
    data = federate(OrlFaces(), Natural(), None, 28, Streams(0))
    assert {len(data.client_train(client).targets.unique()) for client in range(28)} == {1}
