"""What must hold of every data set. It is loaded several times; one that is not on this machine is fetched first."""

import torch

from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import DataSet, Loaded
from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams
from fedkd.testing.contract import Contract, generators_left_alone, require


def sizes_are_known_beforehand(data: DataSet) -> None:
    """`sizes` says, before anything is loaded, how many samples each part of the split has."""
    stated, loaded = data.sizes(), data.load(Streams(0))
    for name, part in _parts(loaded).items():
        require(
            len(part) == getattr(stated, name),
            f"{name} has {len(part)} samples, sizes says {getattr(stated, name)}",
        )


def samples_are_what_the_class_states(data: DataSet) -> None:
    """Inputs have the stated views and shapes, in float32 and finite; targets are classes or items, a class of each head, or numbers [n, outputs]."""
    loaded = data.load(Streams(0))
    for name, part in _parts(loaded).items():
        shapes = {view: tuple(x.shape[1:]) for view, x in part.inputs.items()}
        require(
            shapes == dict(data.views), f"{name} has the views {shapes}, the class states {dict(data.views)}"
        )
        for view, x in part.inputs.items():
            if view in data.symbols:
                right = x.dtype == torch.int64 and (x >= 0).all() and (x < data.symbols[view]).all()
                require(right, f"view {view!r} has what is none of {data.symbols[view]} symbols in int64")
            else:
                require(
                    x.dtype == torch.float32 and x.isfinite().all(), f"view {view!r} is not finite float32"
                )
        require(
            bool(data.heads) == data.targets.of_heads,
            f"heads are of a multitask_classification; the class states {len(data.heads)}, and is a {data.task}",
        )
        wanted = (len(part), *loaded.info.target_shape)
        require(
            tuple(part.targets.shape) == wanted,
            f"targets of {name} have shape {tuple(part.targets.shape)}, a {data.task} has {wanted}",
        )
        if data.heads:
            classes = torch.tensor([len(names) for names in data.heads.values()])
            right = (part.targets < classes).all() and (part.targets >= -1).all()
            require(right, f"{name} has no class, or -1, for each of its heads")
            require(int(classes.max()) == data.num_outputs, "num_outputs is not the most classes of a head")
        elif data.targets.numbers:
            require(part.targets.isfinite().all(), f"{name} has a target that is not finite")
        else:
            least = -1 if data.targets.of_places else 0
            right = (part.targets >= least).all() and (part.targets < data.num_labels).all()
            require(right, f"{name} has a target that is none of {data.num_labels} {data.targets.are}")


def no_sample_is_in_two_parts(data: DataSet) -> None:
    """Training, validation and test have no sample in common, and every sample an id of its own."""
    ids = torch.cat([part.ids for part in _parts(data.load(Streams(0))).values()])
    require(len(set(ids.tolist())) == len(ids), "an id stands in two parts, or twice in one")


def the_seed_decides_the_split(data: DataSet) -> None:
    """Equal seeds split alike, an id always means the same sample, and no global generator is drawn from."""
    with generators_left_alone():
        first, second = data.load(Streams(0)), data.load(Streams(0))
    for name, part in _parts(first).items():
        other = _parts(second)[name]
        same = torch.equal(part.ids, other.ids) and torch.equal(part.targets, other.targets)
        require(
            same and all(torch.equal(x, other.inputs[view]) for view, x in part.inputs.items()),
            f"{name} differs",
        )
    again = torch.equal(first.validation.ids, data.load(Streams(1)).validation.ids)
    require(
        again == data.split_is_fixed,
        "every seed splits alike" if again else "the split is fixed, and seeds split differently",
    )


def owners_are_those_it_states(data: DataSet) -> None:
    """Every sample has one of the stated owners, or none has any where none are stated."""
    for name, part in _parts(data.load(Streams(0))).items():
        if not data.owners:
            require(part.owners is None, f"{name} has owners, the class states none")
            continue
        right = part.owners is not None and (part.owners >= 0).all() and (part.owners < data.owners).all()
        require(right, f"{name} has a sample that is of none of the {data.owners} owners")


CONTRACT = Contract(
    DATASETS,
    DataSet,
    (
        sizes_are_known_beforehand,
        samples_are_what_the_class_states,
        no_sample_is_in_two_parts,
        the_seed_decides_the_split,
        owners_are_those_it_states,
    ),
)


def _parts(loaded: Loaded) -> dict[str, Samples]:
    return {"train": loaded.train, "validation": loaded.validation, "test": loaded.test}
