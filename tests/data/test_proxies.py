from typing import Any

import pytest
import torch

from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import Loaded
from fedkd.data.proxies import PROXIES
from fedkd.data.proxies.base import ProxyDraw
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams


def loaded(name: str) -> Loaded:
    made: Loaded = DATASETS.create(name, key="data").load(Streams(0))
    return made


def draw(data: str, **options: Any) -> ProxyDraw:
    own = loaded(data)
    made: ProxyDraw = PROXIES.create(options, key="proxy").draw(own.info, own.train, Streams(0))
    return made


def test_a_heldout_set_is_part_of_the_pool_with_its_ids_and_targets() -> None:
    made, pool = draw("digits", name="heldout", size=50), loaded("digits").train
    assert made.samples is not None
    assert made.labelled
    assert torch.equal(made.samples.ids, pool.take(made.taken).ids)
    assert torch.equal(made.samples.targets, pool.take(made.taken).targets)


def test_a_smaller_heldout_set_is_part_of_a_larger_one() -> None:
    small, large = draw("digits", name="heldout", size=50), draw("digits", name="heldout", size=100)
    assert set(small.taken.tolist()) < set(large.taken.tolist())


def test_an_unlabelled_set_keeps_its_targets_for_diagnosis_only() -> None:
    made = draw("digits", name="heldout", labelled=False)
    assert made.samples is not None
    assert not made.labelled
    assert (made.samples.targets >= 0).all()


def test_a_set_covers_as_many_classes_as_it_is_told_and_fewer_are_a_part_of_more() -> None:
    seen = []
    for classes in (1, 4, 10):
        made = draw("digits", name="heldout", size=60, classes=classes)
        assert made.samples is not None
        assert len(made.samples) == 60
        seen.append(set(made.samples.targets.tolist()))
    assert [len(classes) for classes in seen] == [1, 4, 10]
    assert seen[0] < seen[1] < seen[2]
    everything, usual = (
        draw("digits", name="heldout", size=60, classes=10),
        draw("digits", name="heldout", size=60),
    )
    assert everything.taken.tolist() == usual.taken.tolist()


def test_as_many_labels_are_wrong_as_it_is_told_and_nothing_else_changes() -> None:
    right = draw("digits", name="heldout", size=200).samples
    assert right is not None
    before = torch.zeros(200, dtype=torch.bool)
    for share in (0.25, 0.5, 1.0):
        made = draw("digits", name="heldout", size=200, label_noise=share).samples
        assert made is not None
        assert torch.equal(made.ids, right.ids)
        wrong = made.targets != right.targets
        assert int(wrong.sum()) == round(share * 200)
        assert bool(wrong[before].all())
        assert int(made.targets.min()) >= 0
        assert int(made.targets.max()) <= 9
        before = wrong


def test_wrong_labels_are_spread_over_all_other_classes() -> None:
    right, made = (
        draw("digits", name="heldout", size=600, label_noise=noise).samples for noise in (0.0, 1.0)
    )
    assert right is not None
    assert made is not None
    steps = torch.bincount((made.targets - right.targets) % 10, minlength=10)
    assert steps[0] == 0
    assert (steps[1:] > 600 / 9 / 2).all()


def test_a_set_larger_than_its_classes_have_samples_is_refused_with_their_number() -> None:
    with pytest.raises(InvalidOption, match=r"proxy.size.*400.*at most 1\d\d, the samples of the 1 classes"):
        draw("digits", name="heldout", size=400, classes=1)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ("digits", {"classes": 11}, "proxy.classes.*11.*at most 10"),
        ("diabetes", {"classes": 2}, "has numbers"),
        ("diabetes", {"label_noise": 0.1}, "has numbers"),
        ("grammar", {"classes": 3}, "are about one class a sample, and data=grammar has symbols"),
        ("movielens", {"classes": 3}, "has items"),
        ("orl_faces", {"label_noise": 0.1}, "has identities"),
        ("diamonds_grades", {"classes": 3}, "has classes of several heads"),
        ("digits", {"label_noise": 0.1, "labelled": False}, "no effect with proxy.labelled=false"),
    ],
)
def test_what_classes_and_wrong_labels_cannot_mean_is_refused_before_loading(
    data: str, options: dict[str, Any], said: str
) -> None:
    made = PROXIES.create({"name": "heldout", "size": 50, **options}, key="proxy")
    with pytest.raises(FedkdError, match=said):
        made.check(DATASETS.create(data, key="data"), 1000)


@pytest.mark.parametrize(("data", "size"), [("digits", 400), ("diabetes", 103)])
def test_a_heldout_set_without_a_size_fits_the_pool(data: str, size: int) -> None:
    made = draw(data, name="heldout")
    assert made.samples is not None
    assert len(made.samples) == size


@pytest.mark.parametrize(
    ("data", "dataset", "same"),
    [("digits", "mnist_10k", True), ("mnist_10k", "digits", True), ("digits", "fashion_mnist", False)],
)
def test_another_data_set_is_resized_and_keeps_targets_only_of_the_same_classes(
    data: str, dataset: str, same: bool
) -> None:
    made, own = draw(data, name="dataset", dataset=dataset, size=100), loaded(data)
    assert made.samples is not None
    images = made.samples.inputs["image"]
    assert images.shape[1:] == own.info.views["image"]
    assert 0 <= images.min() < 0.1
    assert 0.8 < images.max() <= 1
    assert len(made.samples.ids.unique()) == 100
    assert len(made.taken) == 0
    assert (made.samples.targets >= 0).all() if same else (made.samples.targets == -1).all()
    assert not made.labelled


def test_a_resized_image_keeps_its_brightness_and_its_place() -> None:
    made, theirs = (
        draw("digits", name="dataset", dataset="mnist_10k", size=100).samples,
        loaded("mnist_10k").train,
    )
    assert made is not None
    position = {int(one): at for at, one in enumerate(theirs.ids)}
    before = theirs.take([position[int(one)] for one in made.ids]).inputs["image"][:, 0]
    after = made.inputs["image"][:, 0]
    assert torch.allclose(after.mean((1, 2)), before.mean((1, 2)), atol=0.02)
    for axis in (1, 2):
        places = [
            (image.sum(3 - axis) * torch.linspace(0, 1, image.shape[1])).sum(1) / image.sum((1, 2))
            for image in (before, after)
        ]
        assert torch.allclose(places[0], places[1], atol=0.05)


@pytest.mark.parametrize(("data", "view"), [("digits", "image"), ("diabetes", "features")])
def test_noise_has_the_shape_of_the_data_and_unknown_targets(data: str, view: str) -> None:
    made, own = draw(data, name="noise", size=300), loaded(data)
    assert made.samples is not None
    values = made.samples.inputs[view]
    assert values.shape == (300, *own.info.views[view])
    assert torch.equal(values, draw(data, name="noise", size=300).samples.inputs[view])  # type: ignore[union-attr]
    assert made.samples.targets.dtype == own.train.targets.dtype
    assert made.samples.targets.shape[1:] == own.train.targets.shape[1:]
    if view == "image":
        assert (made.samples.targets == -1).all()
        assert values.min() >= 0
        assert values.max() <= 1
        assert float(values.mean()) == pytest.approx(0.5, abs=0.02)
    else:
        assert made.samples.targets.isnan().all()
        assert float(values.std()) == pytest.approx(1, abs=0.05)


def test_no_proxy_set_is_none() -> None:
    assert draw("digits", name="none").samples is None


def test_the_training_pool_can_be_the_proxy_set_and_stays_with_the_clients() -> None:
    whole, part = draw("digits", name="train"), draw("digits", name="train", size=30, labelled=False)
    assert whole.samples is not None
    assert part.samples is not None
    assert torch.equal(whole.samples.ids, loaded("digits").train.ids)
    assert whole.labelled
    assert (len(part.samples), part.labelled, len(part.taken), len(whole.taken)) == (30, False, 0, 0)


@pytest.mark.parametrize("name", ["heldout", "train"])
def test_shuffled_views_of_one_sample_no_longer_belong_together(name: str) -> None:
    options = {"name": name, "size": 100, "labelled": False}
    pairs, shuffled = (draw("mfeat", **options, shuffled_views=mixed).samples for mixed in (False, True))
    assert pairs is not None
    assert shuffled is not None
    assert torch.equal(pairs.ids, shuffled.ids)
    assert torch.equal(pairs.targets, shuffled.targets)
    for view, x in pairs.inputs.items():
        y = shuffled.inputs[view]
        stayed = (x == y).all(dim=1).float().mean()
        assert stayed == 1.0 if view == "pixels" else stayed < 0.1
        assert torch.equal(x.sum(dim=1).sort().values, y.sum(dim=1).sort().values)


@pytest.mark.parametrize(
    ("data", "labelled", "words"), [("digits", False, "one view"), ("mfeat", True, "proxy.labelled=false")]
)
def test_views_that_cannot_be_shuffled_are_refused(data: str, labelled: bool, words: str) -> None:
    proxy = PROXIES.create({"name": "train", "labelled": labelled, "shuffled_views": True}, key="proxy")
    with pytest.raises(IllegalCombination, match=words):
        proxy.check(DATASETS.create(data, key="data"), 1000)
