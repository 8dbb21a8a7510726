import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Relations
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller, Taught
from fedkd.distillation.distiller import triplet
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.parts import build, dump
from fedkd.foundation.seeding import Streams
from fedkd.losses import kd
from fedkd.models import MODELS
from fedkd.models.base import predict, run_network
from fedkd.tasks import Classification, Regression
from fedkd.training import Fit, Optimizer

TASK = Classification()


def network(seed: int = 0, num_outputs: int = 3, hidden: int = 8) -> nn.Module:
    with Streams(seed).initialising("test"):
        built: nn.Module = MODELS.create({"name": "mlp", "hidden": [hidden]}, key="model").network(
            (4,), num_outputs
        )
    return built


def samples(n: int = 60) -> Samples:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(1))
    return Samples({"features": x}, x[:, :3].argmax(-1), torch.arange(n))


def distil(distiller: Distiller, student: nn.Module, teacher: Tensor, **options: Any) -> Taught:
    inputs: Mapping[str, Tensor] = samples(len(teacher)).inputs
    chosen = {"task": TASK, "generator": torch.Generator().manual_seed(7), **options}
    return distiller.distil(student, inputs, teacher, **chosen)


LONG = Fit(epochs=60, batch_size=20, optimizer=Optimizer(name="adam", lr=0.02))


def test_the_student_comes_to_say_what_the_teacher_says() -> None:
    student, teacher = network(0), predict(network(1), samples().inputs)
    before = kd(predict(student, samples().inputs), teacher, temperature=1.0)
    taught = distil(Distiller(fit=LONG), student, teacher)
    after = kd(predict(student, samples().inputs), teacher, temperature=1.0)
    assert after < before / 20
    assert taught.epochs == 60
    assert taught.best_score is None
    assert taught.loss == pytest.approx(float(after), abs=0.02)


@pytest.mark.parametrize("divergence", ["task", "mae", "mse"])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_one_step_follows_the_gradient_of_the_divergence_that_is_named(
    divergence: Any, temperature: float
) -> None:
    student, still = network(0), network(0)
    teacher = predict(network(1), samples().inputs)
    said = still(samples().inputs["features"]).logits
    TASK.divergence(said, teacher, measure=divergence, temperature=temperature).mean().backward()
    plan = Fit(batch_size=60, optimizer=Optimizer(lr=0.1))
    distil(Distiller(fit=plan, divergence=divergence, temperature=temperature), student, teacher)
    for moved, weight in zip(student.parameters(), still.parameters(), strict=True):
        assert weight.grad is not None
        assert torch.allclose(moved, weight - 0.1 * weight.grad, atol=1e-6)


def test_hard_answers_teach_labels_and_not_confidence() -> None:
    teacher = predict(network(1), samples().inputs)
    soft, sharp = network(0), network(0)
    plan = Distiller(fit=Fit(epochs=3), hard=True)
    distil(plan, soft, teacher)
    distil(plan, sharp, 100 * teacher)
    for one, other in zip(soft.parameters(), sharp.parameters(), strict=True):
        assert torch.equal(one, other)


def test_numbers_are_distilled_by_their_squared_difference() -> None:
    student, teacher = network(0, 1), predict(network(1, 1), samples().inputs)
    taught = distil(Distiller(fit=LONG), student, teacher, task=Regression())
    assert taught.loss < 0.02


def test_the_same_stream_gives_the_same_student() -> None:
    students = [network(0), network(0)]
    teacher = predict(network(1), samples().inputs)
    for student in students:
        distil(Distiller(), student, teacher)
    for one, other in zip(students[0].parameters(), students[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_dropout_leaves_out_belongs_to_the_stream_and_not_to_the_process() -> None:
    teacher, found = predict(network(1), samples().inputs), []
    for _ in range(2):
        student = nn.Sequential(network(0).body, nn.Dropout(0.5), network(0).head)
        state = torch.random.get_rng_state()
        distil(Distiller(), student, teacher)
        assert torch.equal(torch.random.get_rng_state(), state)
        found.append(nn.utils.parameters_to_vector(student.parameters()))
        torch.rand(5)  # somebody else draws
    assert torch.equal(found[0], found[1])
    without = nn.Sequential(network(0).body, network(0).head)
    distil(Distiller(), without, teacher)
    assert not torch.equal(found[0], nn.utils.parameters_to_vector(without.parameters()))


def test_early_stopping_waits_as_long_as_told_and_keeps_the_best_weights() -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    after_epoch: list[Mapping[str, Tensor]] = []

    def validate(judged: nn.Module) -> float:
        after_epoch.append({name: weight.clone() for name, weight in judged.state_dict().items()})
        return next(scores)

    student, teacher = network(0), predict(network(1), samples().inputs)
    taught = distil(Distiller(fit=Fit(epochs=10), patience=2), student, teacher, validate=validate)
    assert (taught.epochs, taught.best_score) == (4, 0.5)
    for name, weight in student.state_dict().items():
        assert torch.equal(weight, after_epoch[1][name])
        assert not torch.equal(weight, after_epoch[3][name])


def test_a_score_that_is_nan_is_never_the_best_one() -> None:
    scores = itertools.chain([float("nan"), 0.2], itertools.repeat(float("nan")))
    student, teacher = network(0), predict(network(1), samples().inputs)
    distiller = Distiller(fit=Fit(epochs=9), patience=3)
    taught = distil(distiller, student, teacher, validate=lambda _: next(scores))
    assert (taught.epochs, taught.best_score) == (5, 0.2)


def test_without_patience_validation_is_not_asked_and_training_goes_to_the_end() -> None:
    def never(_: nn.Module) -> float:
        raise AssertionError("validation was asked")

    student, teacher = network(0), predict(network(1), samples().inputs)
    assert distil(Distiller(fit=Fit(epochs=3)), student, teacher, validate=never).epochs == 3


def test_an_empty_proxy_set_teaches_nothing() -> None:
    student, same = network(0), network(0)
    assert distil(Distiller(), student, torch.empty(0, 3)).epochs == 0
    for one, other in zip(student.parameters(), same.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_certain_teacher_and_a_student_of_extreme_answers_leave_finite_weights() -> None:
    student = network(0)
    with torch.no_grad():
        for weight in student.parameters():
            weight.mul_(1e3)
    teacher = F.one_hot(samples().targets, 3).float() * 1e6
    distil(Distiller(fit=Fit(epochs=2, optimizer=Optimizer(clip_norm=1.0))), student, teacher)
    assert all(weight.isfinite().all() for weight in student.parameters())


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_one_divergence_as_a_term_is_a_distiller_without_terms() -> None:
    """But for the order of the samples, which is the generator's next draw: all are in one batch here."""
    teacher = predict(network(1), samples().inputs)
    plan, students = Fit(epochs=3, batch_size=60), [network(0), network(0)]
    distil(Distiller(fit=plan, temperature=3.0), students[0], teacher)
    terms: Any = ({"name": "divergence", "temperature": 3.0},)
    distil(Distiller(fit=plan, terms=terms), students[1], teacher)
    for one, other in zip(students[0].parameters(), students[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_terms_are_written_down_with_every_option() -> None:
    distiller = build(Distiller, {"terms": ["kd", {"name": "sp", "weight": 3}]}, key="method.distiller")
    kd_term, sp_term = dump(distiller)["terms"]
    assert (kd_term["name"], kd_term["temperature"], kd_term["weight"]) == ("kd", 4.0, 1.0)
    assert (sp_term["weight"], sp_term["student_layer"], sp_term["teacher_layer"]) == (
        3.0,
        "features",
        "fused",
    )
    assert build(Distiller, dump(distiller), key="method.distiller") == distiller


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terms": ["dkdd"]}, r"method\.distiller\.terms\.0\.name: got 'dkdd'.*did you mean 'dkd'"),
        ({"terms": ["kd", {"name": "sp", "wieght": 1}]}, r"terms\.1\.wieght: got 1.*did you mean 'weight'"),
        ({"terms": [{"name": "kd", "temperature": 0}]}, r"terms\.0\.temperature: got 0"),
        ({"terms": [{"temperature": 1}]}, r"terms\.0\.name: got None"),
        ({"terms": "kd"}, r"method\.distiller\.terms: got 'kd'"),
    ],
)
def test_terms_that_do_not_exist_are_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        build(Distiller, options, key="method.distiller")


@pytest.mark.parametrize("option", [{"divergence": "mae"}, {"temperature": 2.0}])
def test_options_that_terms_make_idle_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(IllegalCombination, match=f"method.distiller.{next(iter(option))} has no effect"):
        Distiller(terms=("kd",), **option)


def test_pseudo_labels_are_the_control_of_terms_too() -> None:
    teacher, students = predict(network(1), samples().inputs), [network(0), network(0)]
    distil(Distiller(hard=True), students[0], teacher)
    distil(Distiller(hard=True, terms=("kd",)), students[1], teacher)
    assert same(*students)


def test_a_regressor_is_drawn_from_the_distillers_stream_and_learns_beside_the_student() -> None:
    teacher, wide = predict(network(1), samples().inputs), network(2, hidden=20)
    layers = {"features": wide(samples().inputs["features"]).features.detach()}
    term: Any = {"name": "hint", "teacher_layer": "features"}
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    students = [network(0), network(0)]
    taught = [distil(Distiller(fit=LONG, terms=(term,)), s, teacher, layers=layers) for s in students]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(*students)
    assert taught[0] == taught[1]
    first = distil(
        Distiller(fit=Fit(epochs=1, batch_size=20), terms=(term,)), network(0), teacher, layers=layers
    )
    assert taught[0].loss < first.loss / 3
    # The head learns nothing: no term looks at the outputs.
    head = students[0].get_submodule("head")
    assert torch.equal(head.weight, network(0).get_submodule("head").weight)


def test_a_schedule_goes_by_the_steps_of_the_training() -> None:
    teacher, students = predict(network(1), samples().inputs), [network(0), network(0)]
    off = {"name": "kd", "schedule": {"shape": "step", "begin": 1.0, "end": 0.0, "over": 0.5}}
    distil(Distiller(fit=Fit(epochs=4, batch_size=20), terms=(off,)), students[0], teacher)
    distil(Distiller(fit=Fit(epochs=2, batch_size=20), terms=("kd",)), students[1], teacher)
    assert same(*students)


def test_what_a_term_needs_and_nobody_gives_is_said() -> None:
    teacher = predict(network(1), samples().inputs)
    with pytest.raises(IllegalCombination, match="hint learns from features of the teachers' networks"):
        distil(Distiller(terms=("hint",)), network(0), teacher)
    labelled = Distiller(terms=({"name": "supervised", "labels": "proxy"},))
    with pytest.raises(IllegalCombination, match="true targets"):
        distil(labelled, network(0), teacher)
    distil(labelled, network(0), teacher, targets=samples().targets)


def test_an_empty_proxy_set_teaches_terms_nothing() -> None:
    student = network(0)
    assert distil(Distiller(terms=("kd", "sp")), student, torch.empty(0, 3)).epochs == 0
    assert same(student, network(0))


@pytest.mark.parametrize("hard", [False, True])
def test_true_labels_have_their_share_of_the_loss_of_all_samples_or_of_each(hard: bool) -> None:
    student, still = network(0), network(0)
    data, teacher = samples(), predict(network(1), samples().inputs)
    once = Fit(epochs=1, batch_size=60, optimizer=Optimizer(lr=1e-12))
    said = predict(still, data.inputs)
    labels = F.cross_entropy(said, data.targets, reduction="none")
    apart = kd(said, teacher, temperature=1.0, reduction="none")
    if hard:
        apart = F.cross_entropy(said, teacher.argmax(dim=1), reduction="none")
    each = torch.linspace(0.0, 1.0, 60)
    for given, shares in ((None, torch.full((60,), 0.3)), (each, each)):
        taught = distil(
            Distiller(fit=once, hard=hard, label_weight=0.3),
            student,
            teacher,
            targets=data.targets,
            label_weights=given,
        )
        assert taught.loss == pytest.approx(float(((1 - shares) * apart + shares * labels).mean()), abs=1e-5)


def test_relations_draw_the_features_of_samples_that_are_alike_together() -> None:
    inputs, teacher = samples().inputs, predict(network(1), samples().inputs)
    near, far = torch.arange(60).roll(1), torch.arange(60).roll(2)
    relations = Relations(near, far, weight=5.0, margin=0.2)

    def broken(student: nn.Module) -> float:
        seen = run_network(student, inputs).features.detach()
        return float(triplet(seen, seen[near], seen[far], margin=0.2))

    related, alone = network(0), network(0)
    distil(Distiller(fit=LONG), related, teacher, relations=relations)
    distil(Distiller(fit=LONG), alone, teacher)
    assert broken(related) < 0.7 * broken(alone)
