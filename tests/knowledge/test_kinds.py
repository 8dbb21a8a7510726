from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.knowledge.kinds.base import OwnAnswers
from fedkd.knowledge.kinds.class_means import ClassMeans
from fedkd.knowledge.kinds.features import Features
from fedkd.knowledge.kinds.labelled_weights import LabelledWeights
from fedkd.knowledge.kinds.logits import Logits
from fedkd.knowledge.kinds.probabilities import Probabilities
from fedkd.knowledge.kinds.prototypes import Prototypes
from fedkd.knowledge.kinds.updates import Updates, updated
from fedkd.knowledge.kinds.weights import Weights


class Linear:
    """A trained client: one linear map, four private samples of the labels 0, 0, 2, 2, and a proxy set of three."""

    def __init__(self) -> None:
        self.matrix = torch.arange(9.0).reshape(3, 3)
        self.private = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 4.0]])
        self.public = torch.eye(3)

    @property
    def num_outputs(self) -> int:
        return 3

    def weights(self) -> Mapping[str, Tensor]:
        return {"matrix": self.matrix}

    def began_with(self) -> Mapping[str, Tensor]:
        return {"matrix": torch.ones(3, 3)}

    def on_proxy(self, ids: Tensor) -> Tensor:
        return self.public[ids] @ self.matrix

    def on_private(self) -> tuple[Tensor, Tensor]:
        return self.private @ self.matrix, torch.tensor([0, 0, 2, 2])

    def private_targets(self) -> Tensor:
        return torch.tensor([0, 0, 2, 2])

    def features_on_private(self) -> tuple[Tensor, Tensor]:
        return self.private[:, 1:], torch.tensor([0, 0, 2, 2])

    def layer_on_private(self, layer: str) -> OwnAnswers:
        logits, targets = self.on_private()
        return OwnAnswers(torch.tensor([5, 4, 9, 8]), self.private[:, None, int(layer) :], logits, targets)


def test_logits_are_the_raw_answers_in_the_order_of_the_ids() -> None:
    package = Logits().extract(Linear(), torch.tensor([2, 0]))
    assert package.kind == "logits"
    assert package.ids is not None
    assert package.ids.tolist() == [2, 0]
    assert package.values.tolist() == [[6.0, 7.0, 8.0], [0.0, 1.0, 2.0]]


def test_probabilities_are_the_untempered_softmax_of_the_answers() -> None:
    package = Probabilities().extract(Linear(), torch.tensor([1]))
    assert torch.allclose(package.values, F.softmax(torch.tensor([[3.0, 4.0, 5.0]]), dim=-1))


def test_class_means_are_means_over_the_samples_of_each_label_with_their_counts() -> None:
    package = ClassMeans().extract(Linear(), None)
    assert package.counts is not None
    assert package.counts.tolist() == [2, 0, 2]
    assert package.values[0].tolist() == [1.5, 2.5, 3.5]  # mean of rows 0 and 1 of the matrix
    assert package.values[2].tolist() == [18.0, 21.0, 24.0]  # 3 times row 2
    assert package.values.isfinite().all()


def test_prototypes_are_the_mean_features_of_each_class_that_there_is_with_the_counts_of_all() -> None:
    package = Prototypes().extract(Linear(), None)
    assert package.counts is not None
    assert package.counts.tolist() == [2, 0, 2]
    assert package.values.tolist() == [[0.5, 0.0], [0.0, 3.0]]


def test_features_are_what_the_layer_says_of_each_own_sample_with_logits_labels_and_ids() -> None:
    package = Features(layer="2").extract(Linear(), None)
    assert package.ids is not None
    assert package.ids.tolist() == [5, 4, 9, 8]
    assert package.values.tolist() == [[[0.0]], [[0.0]], [[2.0]], [[4.0]]]
    assert package.arrays["logits"].tolist()[1:3] == [[3.0, 4.0, 5.0], [12.0, 14.0, 16.0]]
    assert package.targets is not None
    assert package.targets.tolist() == [0, 0, 2, 2]


def test_weights_are_those_of_the_network_by_name() -> None:
    package = Weights().extract(Linear(), None)
    assert package.ids is None
    assert torch.equal(package.arrays["matrix"], Linear().matrix)


def test_labelled_weights_say_how_many_samples_of_each_class_are_behind_them() -> None:
    package = LabelledWeights().extract(Linear(), None)
    assert package.counts is not None
    assert package.counts.tolist() == [2, 0, 2]
    assert torch.equal(package.arrays["matrix"], Linear().matrix)


def test_kinds_say_what_they_need() -> None:
    needs = {
        kind: (kind.needs_proxy, kind.needs_classes, kind.mixed_models)
        for kind in (Logits, Probabilities, ClassMeans, Prototypes, LabelledWeights, Weights, Features)
    }
    assert needs == {
        Logits: (True, False, True),
        Probabilities: (True, True, True),
        ClassMeans: (False, True, True),
        Prototypes: (False, True, True),
        LabelledWeights: (False, True, False),
        Weights: (False, False, False),
        Features: (False, True, True),
    }


def test_updates_are_what_training_has_changed_and_added_to_the_start_they_are_the_end() -> None:
    package = Updates().extract(Linear(), None)
    assert package.kind == "updates"
    assert package.arrays["matrix"].tolist() == [[-1.0, 0.0, 1.0], [2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]
    assert torch.equal(updated(Linear().began_with(), package.arrays)["matrix"], Linear().matrix)


def test_an_updated_counter_stays_a_whole_number() -> None:
    steps = updated({"steps": torch.tensor(7)}, {"steps": torch.tensor(2.6)})["steps"]
    assert (steps.dtype, int(steps)) == (torch.int64, 9)
