"""What must hold of every weighting of teachers, whatever it knows of them."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from fedkd.aggregation.evidence import shape_of
from fedkd.aggregation.folding import Folding
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.teachers import BY_ROW, Fault, Teachers, shares
from fedkd.aggregation.weightings import WEIGHTINGS
from fedkd.aggregation.weightings.base import Weighting
from fedkd.clients.supervised import Supervised
from fedkd.engine.trained import Trained
from fedkd.foundation.seeding import Streams
from fedkd.testing.contract import Contract, generators_left_alone, require
from fedkd.testing.ground import CLIENTS, client_side, diabetes, digits

TEACHERS, SAMPLES, CLASSES = 5, 12, 6
CORRUPT = 2


def weights_are_shares(weighting: Weighting) -> None:
    """On every sample the weights are at least 0 and sum to 1, for one teacher and many, for classes and numbers."""
    for teachers in (1, TEACHERS):
        for outputs in (CLASSES,) if _about_classes(weighting) else (1, CLASSES):
            _require_shares(_weigh(weighting, _teachers(weighting, teachers, outputs)), teachers)


def extreme_outputs_give_shares(weighting: Weighting) -> None:
    """So they are where teachers are far too sure, say nothing, or are of very different size."""
    teachers = replace(_teachers(weighting), sizes=10.0 ** torch.arange(TEACHERS))
    for scale in (1e4, 0.0):
        student = None if teachers.student is None else scale * teachers.student
        extreme = replace(teachers, outputs=scale * teachers.outputs, student=student)
        _require_shares(_weigh(weighting, extreme), TEACHERS)


def nothing_but_zeros_gives_shares(weighting: Weighting) -> None:
    """So they are where clients say nothing but 0 about themselves, and every score is that of chance."""
    teachers = _teachers(weighting)
    zeros = {name: torch.zeros_like(array) for name, array in teachers.sent.items()}
    scores = None if teachers.scores is None else torch.zeros_like(teachers.scores)
    _require_shares(_weigh(weighting, replace(teachers, sent=zeros, scores=scores)), TEACHERS)


def weights_follow_their_teachers(weighting: Weighting) -> None:
    """Teachers in another order have the same weights in that order."""
    order = torch.randperm(TEACHERS, generator=Streams(0).torch("order"))
    teachers = _teachers(weighting)
    same = _close(_weigh(weighting, teachers)[order], _weigh(weighting, _taken(teachers, order)))
    require(same, "teachers in another order weigh something else")


def identical_teachers_weigh_the_same(weighting: Weighting) -> None:
    """Teachers of whom the same is known have equal weights, two beside others and all alike."""
    for places in ([0, 1, 1, 2, 3], [4] * TEACHERS):
        at = torch.tensor(places)
        weights = _weigh(weighting, _taken(_teachers(weighting), at))
        for place in (at == at.mode().values).nonzero().flatten():
            require(_close(weights[place], weights[2]), "identical teachers have different weights")


def absent_teachers_count_for_nothing(weighting: Weighting) -> None:
    """Where a teacher said nothing, what stands in its place, an answer or NaN, changes no weight; one who never spoke is as good as away."""
    present = torch.ones(TEACHERS, SAMPLES, dtype=torch.bool)
    present[1, ::2] = present[3] = False
    teachers = replace(_teachers(weighting), present=present)
    weights = _weigh(weighting, teachers)
    _require_shares(weights, TEACHERS)
    for garbage, number in ((50.0 * teachers.outputs.flip(-1), 1.0), (torch.nan, torch.nan)):
        sent = {
            name: torch.where(present, said, number) if weighting.sends[name] in BY_ROW else said
            for name, said in teachers.sent.items()
        }
        outputs = torch.where(present[..., None], teachers.outputs, garbage)
        require(
            _close(weights, _weigh(weighting, replace(teachers, outputs=outputs, sent=sent))),
            "what stands in the place of an absent teacher changes the weights",
        )
    there = present.any(dim=1).nonzero().flatten()
    require(
        _close(weights[there], _weigh(weighting, _taken(teachers, there))),
        "the others weigh something else beside a teacher that said nothing",
    )


def faults_that_it_spots_cost_weight(weighting: Weighting) -> None:
    """A teacher with a fault that the weighting says it spots has less than half of the weight of an equal share."""
    for fault in sorted(weighting.spots):
        mean = _weigh(weighting, _with_a_fault(weighting, fault)).mean(dim=1)
        require(
            mean[CORRUPT] < 0.5 / TEACHERS,
            f"a teacher of pure {fault} still has the weight {float(mean[CORRUPT]):.3f} of 1",
        )


def teachers_are_left_as_they_are(weighting: Weighting) -> None:
    """Weighing writes into nothing, draws from no global generator, and says the same twice."""
    teachers, kept = _teachers(weighting), _teachers(weighting)
    with generators_left_alone():
        first = _weigh(weighting, teachers)
    same = torch.equal(teachers.outputs, kept.outputs) and torch.equal(teachers.sizes, kept.sizes)
    require(same, "it writes into what it is given")
    require(torch.equal(first, _weigh(weighting, teachers)), "weighing twice gives different weights")


def answers_can_come_one_by_one(weighting: Weighting) -> None:
    """Teachers that are weighed one by one, in any order, some on a part of the samples, have the weights of all at once."""
    spoken = torch.arange(SAMPLES - 1, 0, -2)
    present = torch.ones(TEACHERS, SAMPLES, dtype=torch.bool)
    present[0] = torch.zeros(SAMPLES).index_fill(0, spoken, 1.0) > 0
    teachers = replace(_teachers(weighting), present=present)
    weights, target = _weigh(weighting, teachers), MeanLogits()
    for order in (range(TEACHERS), reversed(range(TEACHERS))):
        folding = Folding(target, weighting, samples=SAMPLES, labels=teachers.labels, chance=teachers.chance)
        for place in order:
            rows = None if place else spoken
            folding.add(
                place,
                teachers.outputs[place] if rows is None else teachers.outputs[place, rows],
                size=int(teachers.sizes[place]),
                rows=rows,
                score=None if teachers.scores is None else float(teachers.scores[place]),
                sent=_sent_by(weighting, teachers, place, rows),
            )
        fused = folding.result(student=teachers.student)
        means = torch.tensor([fused.weights[place] for place in range(TEACHERS)])
        same = _close(means, weights.mean(dim=1))
        expected = target.fuse(teachers.outputs * present[..., None], weights)
        require(
            same and torch.allclose(fused.scores, expected, rtol=1e-4, atol=1e-5),
            "teachers one by one weigh something else than all at once",
        )


def clients_can_say_what_it_needs(weighting: Weighting) -> None:
    """Clients of 0, 1, 7 and more samples send finite numbers of the shapes that the weighting states, and the same twice."""
    if not weighting.sends:
        return
    for data in [digits()] if _about_classes(weighting) else [digits(), diabetes()]:
        assert data.proxy is not None
        side, ids = client_side(Supervised(), data), data.proxy.ids[:20].flip(0)
        for client in CLIENTS:
            network = side.network(client)
            trained = Trained.of(side, client, network, network.state_dict())
            with generators_left_alone():
                said, again = (
                    weighting.testify(trained, ids, Streams(0).torch("evidence")) for _ in range(2)
                )
            require(
                said.keys() == weighting.sends.keys(), f"a client sends {sorted(said)}, not what it states"
            )
            for name, form in weighting.sends.items():
                shape, wanted = tuple(said[name].shape), shape_of(form, len(ids), data.info.num_outputs)
                require(shape == wanted, f"{name!r} has the shape {shape}, not {wanted}")
                require(said[name].isfinite().all(), f"{name!r} is not finite for client {client}")
                require(torch.equal(said[name], again[name]), f"{name!r} is another one the second time")


CONTRACT = Contract(
    WEIGHTINGS,
    Weighting,
    (
        weights_are_shares,
        extreme_outputs_give_shares,
        nothing_but_zeros_gives_shares,
        weights_follow_their_teachers,
        identical_teachers_weigh_the_same,
        absent_teachers_count_for_nothing,
        faults_that_it_spots_cost_weight,
        teachers_are_left_as_they_are,
        answers_can_come_one_by_one,
        clients_can_say_what_it_needs,
    ),
)


def _weigh(weighting: Weighting, teachers: Teachers) -> Tensor:
    """Return the weights of those who spoke, as a round has them."""
    weights = weighting.weigh(teachers)
    shape, wanted = tuple(weights.shape), tuple(teachers.present.shape)
    require(shape == wanted, f"the weights have the shape {shape}, not {wanted}")
    # Where somebody is absent the round divides again; where all spoke, the weights are taken as they come.
    return weights if bool(teachers.present.all()) else shares(weights, teachers.present)


def _require_shares(weights: Tensor, teachers: int) -> None:
    shape, wanted = tuple(weights.shape), (teachers, SAMPLES)
    require(shape == wanted, f"the weights have the shape {shape}, not {wanted}")
    require(weights.isfinite().all() and (weights >= 0).all(), "a weight is negative or not finite")
    sums = weights.sum(dim=0)
    require(
        torch.allclose(sums, torch.ones(SAMPLES), atol=1e-5), f"weights sum to {float(sums[0]):.4g}, not 1"
    )


def _teachers(weighting: Weighting, teachers: int = TEACHERS, outputs: int = CLASSES) -> Teachers:
    """Return some teachers, and all that the weighting needs to know of them."""

    def drawn(purpose: str, *shape: int) -> Tensor:
        return torch.randn(shape, generator=Streams(0).torch(purpose))

    needs, generator = weighting.needs, Streams(0).torch("labels")
    shapes = {name: shape_of(form, SAMPLES, outputs) for name, form in weighting.sends.items()}
    laid = {name: (SAMPLES,) if weighting.sends[name] in BY_ROW else shape for name, shape in shapes.items()}
    return Teachers(
        outputs=2.0 * drawn("outputs", teachers, SAMPLES, outputs),
        sizes=torch.tensor([30.0, 1.0, 7.0, 200.0, 12.0])[:teachers],
        present=torch.ones(teachers, SAMPLES, dtype=torch.bool),
        labels=torch.randint(outputs, (SAMPLES,), generator=generator) if "labels" in needs else None,
        student=drawn("student", SAMPLES, outputs) if "student" in needs else None,
        scores=drawn("scores", teachers).sigmoid() if "validation" in needs else None,
        chance=0.4,
        sent={
            name: drawn(name, teachers, *shape).sigmoid().expand(teachers, *laid[name])
            for name, shape in shapes.items()
        },
    )


def _with_a_fault(weighting: Weighting, fault: Fault) -> Teachers:
    """Return teachers that know the labels, but for one."""
    teachers = _teachers(weighting)
    truth = torch.randint(CLASSES, (SAMPLES,), generator=Streams(0).torch("labels"))
    outputs = 8.0 * torch.nn.functional.one_hot(truth, CLASSES) + 0.1 * teachers.outputs
    wrong = 8.0 * torch.nn.functional.one_hot((truth + 1) % CLASSES, CLASSES).float()
    outputs[CORRUPT] = torch.zeros_like(wrong) if fault == "ignorance" else wrong
    scores = torch.full((TEACHERS,), 0.95).index_fill(0, torch.tensor([CORRUPT]), 0.1)
    return replace(teachers, outputs=outputs, scores=None if teachers.scores is None else scores)


def _taken(teachers: Teachers, places: Tensor) -> Teachers:
    return replace(
        teachers,
        outputs=teachers.outputs[places],
        sizes=teachers.sizes[places],
        present=teachers.present[places],
        scores=None if teachers.scores is None else teachers.scores[places],
        sent={name: array[places] for name, array in teachers.sent.items()},
    )


def _sent_by(
    weighting: Weighting, teachers: Teachers, place: int, rows: Tensor | None
) -> Mapping[str, Tensor]:
    """Return what one teacher sends, about the samples that it speaks about."""
    return {
        name: teachers.sent[name][place, :1]
        if form == "answers"
        else teachers.sent[name][place, rows]
        if rows is not None and form == "samples"
        else teachers.sent[name][place]
        for name, form in weighting.sends.items()
    }


def _about_classes(weighting: Weighting) -> bool:
    return weighting.needs_classes or "labels" in weighting.needs


def _close(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-4, atol=1e-6)
