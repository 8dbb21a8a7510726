import torch

from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import federate
from fedkd.data.partitions.shared import Shared
from fedkd.foundation.seeding import Streams


def test_a_share_of_labels_becomes_the_next_of_the_clients_classes_while_holdouts_and_inputs_stay() -> None:
    partition = Shared(noise=(0.0, 0.25, 1.0), classes=((3, 5, 9),), holdout=0.1)
    data = federate(Digits(), partition, None, 3, Streams(0))
    for client, share in enumerate((0.0, 0.25, 1.0)):
        true = data.train.take(data.assignments[client])
        own = data.client_train(client)
        changed = own.targets != true.targets
        assert int(changed.sum()) == round(share * len(own))
        following = {3: 5, 5: 9, 9: 3}
        assert [following[label] for label in true.targets[changed].tolist()] == own.targets[changed].tolist()
        assert torch.equal(own.inputs["image"], true.inputs["image"])
        held = data.train.take(data.holdouts[client])
        assert torch.equal(data.client_holdout(client).targets, held.targets)
        assert torch.equal(own.targets, data.client_train(client).targets)


def test_shuffled_labels_are_those_of_other_samples_in_numbers_too() -> None:
    data = federate(Diabetes(), Shared(noise=0.5, wrong="shuffled"), None, 2, Streams(0))
    own, true = data.client_train(1).targets[:, 0], data.train.targets[:, 0]
    assert torch.equal(own.sort().values, true.sort().values)
    assert 0.3 < float((own != true).float().mean()) <= 0.5
    assert not torch.equal(own, data.client_train(0).targets[:, 0])


def test_clients_that_train_together_get_the_labels_of_each() -> None:
    data = federate(Digits(), Shared(noise=(0.0, 1.0)), None, 2, Streams(0))
    samples, where = data.pool([1, 0])
    for client, rows in zip([1, 0], where, strict=True):
        assert torch.equal(samples.take(rows).targets, data.client_train(client).targets)
