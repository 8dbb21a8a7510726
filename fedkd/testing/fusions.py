"""What must hold of every fusion, on teachers that agree, disagree, are silent, or are far too sure."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fedkd.aggregation.folding import Folding
from fedkd.aggregation.fusions import FUSIONS
from fedkd.aggregation.fusions.base import Fusion, RandomFusion
from fedkd.aggregation.teachers import shares
from fedkd.aggregation.weightings.size import Size
from fedkd.foundation.seeding import Streams
from fedkd.losses.embeddings import cosines
from fedkd.testing.contract import Contract, generators_left_alone, require

TEACHERS, SAMPLES, CLASSES = 5, 12, 6
CROWD = 50
"""Teachers among whom some may say anything."""

FAR = 1e8
"""Size of a lie."""


def one_target_for_each_sample(fusion: Fusion) -> None:
    """The result has the shape of one teacher's outputs, for one teacher and for many."""
    for teachers in (1, TEACHERS):
        least = 2 if fusion.needs_gaussians else 1
        for outputs in (least, CLASSES) if not fusion.needs_classes else (CLASSES,):
            fused = fusion.fuse(_outputs(teachers, outputs), _weights(teachers))
            shape, wanted = tuple(fused.shape), (SAMPLES, outputs)
            require(
                shape == wanted,
                f"{teachers} teachers with {outputs} outputs give the shape {shape}, not {wanted}",
            )


def the_order_of_teachers_does_not_matter(fusion: Fusion) -> None:
    """Teachers in another order give the same target."""
    outputs, weights = _outputs(), _weights()
    order = torch.randperm(TEACHERS, generator=Streams(0).torch("order"))
    require(
        _close(_said(fusion, outputs, weights), _said(fusion, outputs[order], weights[order])),
        "teachers in another order give another target",
    )


def a_teacher_of_weight_0_does_not_matter(fusion: Fusion) -> None:
    """Whatever stands for a teacher on samples where its weight is 0, the target stays: another answer, NaN or infinity."""
    outputs, weights = _outputs(), _weights()
    weights[0, ::2] = 0.0
    weights[1] = 0.0
    weights /= weights.sum(dim=0)
    said = _said(fusion, outputs, weights)
    garbage = {
        "says": -30.0 * outputs.flip(-1),
        "leaves as NaN": torch.tensor(torch.nan),
        "leaves as infinity": torch.tensor(torch.inf),
    }
    for name, other in garbage.items():
        others = torch.where(weights[..., None] > 0, outputs, other)
        same = _close(said, _said(fusion, others, weights))
        require(same, f"what a teacher of weight 0 {name} changes the target")


def all_weight_on_one_teacher_gives_its_answer(fusion: Fusion) -> None:
    """Where one teacher has all the weight, the target names what that teacher names, sample by sample; noise may hide it.

    Embeddings have the angles of a teacher that has all the weight on every sample.
    """
    if isinstance(fusion, RandomFusion):
        return
    outputs, weights = _outputs(), torch.zeros(TEACHERS, SAMPLES)
    if fusion.needs_embeddings:
        weights[1] = 1.0
        alike = _close(_said(fusion, outputs, weights), _meaning(fusion, outputs[1]))
        require(alike, "the target has other angles than the teacher with all the weight")
        return
    chosen = torch.arange(SAMPLES) % TEACHERS
    weights[chosen, torch.arange(SAMPLES)] = 1.0
    named = _named(fusion, outputs[chosen, torch.arange(SAMPLES)])
    agree = (_named(fusion, fusion.fuse(outputs, weights)) == named).all()
    require(agree, "the teacher with all the weight names another class than the target")


def teachers_that_agree_are_believed(fusion: Fusion) -> None:
    """Identical teachers give their own answer; it may be sharpened, its first class stays; noise may hide it.

    Teachers of embeddings are identical but for a rotation of each.
    """
    if isinstance(fusion, RandomFusion):
        return
    outputs = _outputs(1).repeat(TEACHERS, 1, 1)
    if fusion.needs_embeddings:
        turned = outputs @ torch.linalg.qr(_outputs(TEACHERS)[:, :CLASSES])[0]
        alike = _close(_said(fusion, turned, _weights()), _meaning(fusion, outputs[0]))
        require(alike, "teachers that differ by a rotation give a target with other angles")
        return
    agree = (_named(fusion, fusion.fuse(outputs, _weights())) == _named(fusion, outputs[0])).all()
    require(agree, "identical teachers give a target that names another class than they do")


def extreme_outputs_stay_finite(fusion: Fusion) -> None:
    """Outputs of size 10,000 and impossible classes give finite targets."""
    for name, outputs in {"10,000 times as large": 1e4 * _outputs(), "all zero": 0.0 * _outputs()}.items():
        weights = _weights()
        weights[0] = 0.0
        fused = fusion.fuse(outputs, weights / weights.sum(dim=0))
        require(fused.isfinite().all(), f"outputs that are {name} give a target that is not finite")


def the_share_of_corrupt_teachers_that_it_states_does_little(fusion: Fusion) -> None:
    """Up to its `breakdown` of the teachers may say anything: the result stays near what the others say.

    Near means within `2 (1 - s) / (1 - 2 s)` times the distance of the farthest of the others, where a share s is corrupt: the
    bound that holds for the geometric median. All others of these 50 teachers say nearly the same.
    """
    corrupt = int(fusion.breakdown * CROWD + 1e-6)
    if not corrupt:
        return
    generator = Streams(0).torch("crowd")
    outputs = torch.randn(1, SAMPLES, CLASSES, generator=generator).repeat(CROWD, 1, 1)
    outputs += 0.02 * torch.randn(CROWD, SAMPLES, CLASSES, generator=generator)
    weights = torch.full((CROWD, SAMPLES), 1.0 / CROWD)
    honest = _meaning(fusion, outputs[corrupt:])
    middle = honest.mean(dim=0)
    share = corrupt / CROWD
    near = 2.0 * (1.0 - share) / (1.0 - 2.0 * share) * (honest - middle).norm(dim=-1).amax(dim=0)
    noise = torch.randn(corrupt, SAMPLES, CLASSES, generator=generator)
    lies = {
        "all sure of one wrong class": FAR * one_hot(outputs[0].argmin(dim=-1), CLASSES).expand_as(noise),
        "each sure of another class": FAR * noise,
        "the opposite of the others": -1e1 * outputs[:corrupt],
    }
    for name, lie in lies.items():
        said = _said(fusion, torch.cat([lie, outputs[corrupt:]]), weights)
        moved = (said - middle).norm(dim=-1)
        require(
            (moved <= near + 1e-3).all(),
            f"{corrupt} of {CROWD} corrupt teachers, {name}, move the target by {float(moved.max()):.3f}, more than {float(near.min()):.3f}",
        )


def teachers_are_left_as_they_are(fusion: Fusion) -> None:
    """Fusing writes neither into the outputs nor into the weights, and draws from no global generator."""
    outputs, weights = _outputs(), _weights()
    kept = outputs.clone(), weights.clone()
    with generators_left_alone():
        first = fusion.fuse(outputs, weights)
    require(
        torch.equal(outputs, kept[0]) and torch.equal(weights, kept[1]), "it writes into what it is given"
    )
    require(torch.equal(first, fusion.fuse(outputs, weights)), "fusing twice gives two targets")


def answers_can_come_one_by_one(fusion: Fusion) -> None:
    """Answers that are added one by one, in any order, some of them partial, give the target of all at once."""
    outputs, sizes = _outputs(), torch.arange(1.0, TEACHERS + 1.0)
    spoken = torch.arange(SAMPLES - 1, 0, -2)
    present = torch.ones(TEACHERS, SAMPLES)
    present[0] = torch.zeros(SAMPLES).index_fill(0, spoken, 1.0)
    whole = fusion.fuse(outputs * present[..., None], shares(sizes[:, None] * present))
    for order in (range(TEACHERS), reversed(range(TEACHERS))):
        folding = Folding(fusion, Size(), samples=SAMPLES)
        for teacher in order:
            rows = None if teacher else spoken
            folding.add(
                teacher,
                outputs[teacher][slice(None) if rows is None else rows],
                size=int(sizes[teacher]),
                rows=rows,
            )
        require(
            _close(folding.result().scores, whole), "answers one by one give another target than all at once"
        )


CONTRACT = Contract(
    FUSIONS,
    Fusion,
    (
        one_target_for_each_sample,
        the_order_of_teachers_does_not_matter,
        a_teacher_of_weight_0_does_not_matter,
        all_weight_on_one_teacher_gives_its_answer,
        teachers_that_agree_are_believed,
        extreme_outputs_stay_finite,
        the_share_of_corrupt_teachers_that_it_states_does_little,
        teachers_are_left_as_they_are,
        answers_can_come_one_by_one,
    ),
)


def _outputs(teachers: int = TEACHERS, outputs: int = CLASSES) -> Tensor:
    return 2.0 * torch.randn(teachers, SAMPLES, outputs, generator=Streams(0).torch("outputs"))


def _weights(teachers: int = TEACHERS) -> Tensor:
    drawn = torch.rand(teachers, SAMPLES, generator=Streams(0).torch("weights")) + 0.1
    return drawn / drawn.sum(dim=0)


def _said(fusion: Fusion, outputs: Tensor, weights: Tensor) -> Tensor:
    """Return what a target means: probabilities of classes, angles between embeddings, or numbers as they are."""
    return _meaning(fusion, fusion.fuse(outputs, weights))


def _meaning(fusion: Fusion, outputs: Tensor) -> Tensor:
    if fusion.needs_embeddings:
        return cosines(outputs)
    return outputs.softmax(dim=-1) if fusion.needs_classes else outputs


def _named(fusion: Fusion, outputs: Tensor) -> Tensor:
    """Return the largest of what is named: classes or numbers; of normal distributions their means."""
    return (outputs.chunk(2, dim=-1)[0] if fusion.needs_gaussians else outputs).argmax(dim=-1)


def _close(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5)
