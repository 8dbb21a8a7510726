import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from fedkd.data.datasets.orl_faces import OrlFaces
from fedkd.data.samples import concatenate
from fedkd.foundation.seeding import Streams
from fedkd.losses.embeddings import cosines
from fedkd.runtime.ensembles import Ensembles
from fedkd.tasks import Recognition, recognition

TASK = Recognition()
WHO = torch.arange(30) % 6


def embeddings(n: int = 30, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def turned(said: Tensor, seed: int = 7) -> Tensor:
    return 2.0 * said @ torch.linalg.qr(embeddings(said.shape[1], said.shape[1], seed))[0]


def test_metrics_are_those_of_scikit_learn_and_see_neither_rotation_nor_length() -> None:
    said = embeddings()
    measured = TASK.metrics(said, WHO)
    first, second = np.triu_indices(30, 1)
    similar = metrics.pairwise.cosine_similarity(said.double().numpy())[first, second]
    right = (WHO[first] == WHO[second]).numpy()
    wrong, tar, _ = metrics.roc_curve(right, similar)
    assert measured["auc"] == pytest.approx(metrics.roc_auc_score(right, similar), abs=1e-9)
    assert measured["eer"] == pytest.approx(wrong[np.argmin(np.abs(wrong - 1 + tar))], abs=0.01)
    assert measured["tar_at_far_0.01"] == pytest.approx(tar[wrong <= 0.01].max())
    again = TASK.metrics(turned(said).double(), WHO)
    assert again == pytest.approx(measured, abs=1e-5)


def test_the_pixels_of_the_faces_alone_recognise_people_as_well_as_is_known_of_them() -> None:
    loaded = OrlFaces(shrink=4).load(Streams(0))
    everyone = concatenate([loaded.train, loaded.validation, loaded.test])
    measured = TASK.metrics(everyone.inputs["image"].flatten(1), everyone.targets)
    assert measured["eer"] == pytest.approx(0.19, abs=0.05)
    assert measured["rank_1"] == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("who", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_what_cannot_be_measured_is_nan(who: list[int]) -> None:
    measured = TASK.metrics(embeddings(len(who)), torch.tensor(who, dtype=torch.long))
    assert list(measured) == list(TASK.metric_names)
    assert all(math.isnan(value) for name, value in measured.items() if name != "loss")
    assert math.isnan(measured["loss"]) == (who != [0, 0, 0])


def test_a_network_that_is_not_finite_leaves_the_others_their_metrics_and_has_died() -> None:
    broken = embeddings()
    broken[4, 1] = math.inf
    first, second, third = TASK.measure(torch.stack([embeddings(), broken, torch.ones(30, 5)]), WHO)
    assert first == {**TASK.metrics(embeddings(), WHO), "dead": 0.0}
    assert second.pop("dead") == third.pop("dead") == 1.0
    assert all(math.isnan(value) for value in second.values())
    assert third["auc"] == third["eer"] == 0.5
    assert TASK.has_died(torch.full((1, 3), math.nan))
    assert not TASK.has_died(torch.ones(1, 3))


def test_how_many_are_measured_at_once_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = torch.stack([embeddings(seed=seed) for seed in range(5)])
    together = TASK.metrics_of_many(outputs, WHO)
    monkeypatch.setattr(recognition, "_PAIRS_AT_ONCE", 1)
    assert TASK.metrics_of_many(outputs, WHO) == together


def test_the_loss_and_the_divergence_are_about_the_batch() -> None:
    said = embeddings()
    loss = TASK.supervised(said, WHO)
    assert float(loss.mean()) == pytest.approx(TASK.metrics(said, WHO)["loss"], rel=1e-5)
    assert TASK.supervised(said[:1], WHO[:1]).tolist() == [0.0]
    assert float(TASK.divergence(turned(said), said, temperature=3.0).abs().max()) < 1e-9
    assert float(TASK.divergence(turned(said), said, measure="cosine").mean()) > 0.1
    assert not TASK.samplewise


def test_teachers_that_differ_by_a_rotation_are_one_ensemble() -> None:
    said = embeddings().double()
    others = torch.stack([said, turned(said.float(), 7).double(), turned(said.float(), 8).double()])
    weights = torch.tensor([0.2, 0.3, 0.5])
    together = TASK.combine(others, weights)
    assert together.shape == (30, 15)
    assert torch.allclose(cosines(together), cosines(said), atol=1e-6)
    ensembles = Ensembles(TASK, WHO)
    for teacher, weight in zip(others, weights.tolist(), strict=True):
        assert ensembles.add(teacher.float(), weight)
    for combined in (ensembles.uniform(), ensembles.weighted()):
        assert torch.allclose(cosines(combined), cosines(said), atol=1e-6)


def test_an_ensemble_has_the_weighted_mean_of_the_cosines_and_the_oracle_is_the_best_teacher() -> None:
    one, two = embeddings(seed=1), embeddings(seed=2)
    mean = (cosines(one.double()) + 3.0 * cosines(two.double())) / 4
    together = TASK.combine(torch.stack([one, two]), torch.tensor([0.25, 0.75]))
    assert torch.allclose(cosines(together.double()), mean, atol=1e-6)
    ensembles = Ensembles(TASK, WHO)
    ensembles.add(one, 1.0)
    ensembles.add(torch.eye(6)[WHO][:, :5] + 0.1, 3.0)
    assert torch.equal(ensembles.oracle(), torch.eye(6)[WHO][:, :5] + 0.1)
    ensembles.add(two, 1.0)
    assert torch.equal(ensembles.oracle(), torch.eye(6)[WHO][:, :5] + 0.1)


def test_pseudo_identities_agreement_and_chance_are_about_nearest_samples() -> None:
    apart = torch.eye(3)[torch.tensor([0, 1, 0, 2, 1, 2])]
    assert TASK.harden(apart).tolist() == [0, 1, 0, 3, 1, 3]
    said = embeddings()
    assert TASK.agreement(said, turned(said)) == 1.0
    assert TASK.agreement(said, embeddings(seed=1)) < 0.3
    assert math.isnan(TASK.agreement(said[:1], said[:1]))
    assert TASK.chance(WHO) == 0.5
