import math

import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses import activation_boundary, at, factor_transfer, fsp, hint, nst


def maps(channels: int = 3, side: int = 4, seed: int = 0, batch: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, side, side, generator=generator, dtype=torch.float64)


def test_at_does_not_see_a_positive_scaling_of_features() -> None:
    student, teacher = maps(), maps(seed=1)
    assert torch.allclose(at(3 * student, 0.2 * teacher), at(student, teacher))
    assert at(7 * teacher, teacher) < 1e-30


def test_at_in_the_form_of_the_paper_is_the_root_of_the_summed_squares() -> None:
    student, teacher = maps(), maps(seed=1)
    squares = at(student, teacher, reduction="none")
    assert torch.allclose(at(student, teacher, form="norm", reduction="none"), (16 * squares).sqrt())


def test_at_takes_other_powers_of_the_activations() -> None:
    student, teacher = maps(batch=1), maps(seed=1, batch=1)
    said = [x.abs().pow(4).mean(dim=1).flatten() for x in (student, teacher)]
    gap = said[0] / said[0].norm() - said[1] / said[1].norm()
    assert torch.allclose(at(student, teacher, power=4.0), gap.square().mean())


def test_maps_of_other_channels_and_sizes_are_compared_at_the_smaller_size() -> None:
    student, teacher = maps(5, 8), maps(3, 4, seed=1)
    pooled = torch.nn.functional.avg_pool2d(student, 2)
    for loss in (at, nst, factor_transfer):
        assert torch.allclose(loss(student, teacher), loss(pooled, teacher))
        assert torch.allclose(loss(teacher, student), loss(teacher, pooled))


def test_nst_is_the_discrepancy_of_all_pairs_of_channels() -> None:
    student, teacher = maps(2, batch=1), maps(3, seed=1, batch=1)
    a, b = (torch.nn.functional.normalize(x[0].flatten(1), dim=1) for x in (student, teacher))

    def kernel(first: Tensor, second: Tensor) -> float:
        pairs = [float((u @ v) ** 2) for u in first for v in second]
        return sum(pairs) / len(pairs)

    value = kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)
    assert float(nst(student, teacher)) == pytest.approx(value)


def test_nst_does_not_see_the_order_of_channels() -> None:
    student = maps()
    assert nst(student[:, [2, 0, 1]], student) < 1e-15


def test_fsp_compares_inner_products_between_channels_of_two_layers() -> None:
    first, second = maps(2, batch=1), maps(3, seed=1, batch=1)
    other = maps(3, seed=2, batch=1)
    flows = [torch.einsum("cp,dp->cd", first[0].flatten(1), x[0].flatten(1)) / 16 for x in (second, other)]
    value = (flows[0] - flows[1]).square().mean()
    assert torch.allclose(fsp((first, second), (first, other)), value)


def test_fsp_pools_the_larger_layer_and_trains_both_of_the_student() -> None:
    first, second = maps(2, 8).requires_grad_(), maps(3, seed=1).requires_grad_()
    fsp((first, second), (maps(2, 8, seed=3), maps(3, seed=4))).backward()
    for layer in (first, second):
        assert layer.grad is not None
        assert layer.grad.abs().sum() > 0


def test_fsp_pools_by_the_maximum_as_in_the_paper_if_it_is_told() -> None:
    first, second, other = maps(2, 8), maps(3, seed=1), maps(3, seed=2)
    pooled = torch.nn.functional.max_pool2d(first, 2)
    value = fsp((first, second), (first, other), pooling="max")
    assert torch.allclose(value, fsp((pooled, second), (pooled, other)))
    assert not torch.allclose(value, fsp((first, second), (first, other)))


def test_fsp_of_other_channels_is_refused() -> None:
    with pytest.raises(IllegalCombination, match=r"equal channels; these have \[3, 3\] and \[2, 3\]"):
        fsp((maps(), maps()), (maps(2), maps()))


def test_factors_are_compared_up_to_their_length() -> None:
    student, teacher = maps(), maps(seed=1)
    for form in ("maps", "factors"):
        assert torch.allclose(
            factor_transfer(5 * student, teacher, form=form),  # type: ignore[arg-type]
            factor_transfer(student, teacher, form=form),  # type: ignore[arg-type]
        )
    flat = [x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True) for x in (student, teacher)]
    value = (flat[0] - flat[1]).abs().mean()
    assert torch.allclose(factor_transfer(student, teacher, form="factors"), value)


def test_factors_of_other_shapes_are_refused_in_the_form_of_the_paper() -> None:
    with pytest.raises(IllegalCombination, match="take form=maps"):
        factor_transfer(maps(2), maps(), form="factors")


def test_neurons_beyond_the_margin_on_the_teachers_side_cost_nothing() -> None:
    teacher = torch.tensor([[2.0, -2.0, 0.5]])
    assert activation_boundary(torch.tensor([[1.0, -1.0, 3.0]]), teacher) == 0
    wrong = torch.tensor([[-1.0, 1.0, 0.0]])
    assert activation_boundary(wrong, teacher, scale=1.0) == 4 + 4 + 1
    assert activation_boundary(wrong, teacher, scale=1.0, margin=0.0) == 1 + 1


def test_hint_is_the_mean_squared_error() -> None:
    student, teacher = maps(), maps(seed=1)
    assert torch.allclose(hint(student, teacher), (student - teacher).square().mean())


def test_hint_by_other_distances_by_hand() -> None:
    student = torch.tensor([[3.0, 0.5], [1.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    expected = {
        "l1": [(2.0 + 0.5) / 2, 1.0],
        "huber": [(2.0 - 0.5 + 0.5**2 / 2) / 2, 0.5],
        "cosine": [1.0 - 3.0 / math.hypot(3.0, 0.5), 1.0],
    }
    for distance, each in expected.items():
        assert hint(student, teacher, distance=distance, reduction="none").tolist() == pytest.approx(each)


@pytest.mark.parametrize("loss", [hint, activation_boundary])
def test_features_of_other_shapes_want_a_regressor(loss: type) -> None:
    with pytest.raises(IllegalCombination, match="Regressor"):
        loss(maps(2), maps())


@pytest.mark.parametrize("loss", [at, nst, factor_transfer])
def test_vectors_are_no_maps(loss: type) -> None:
    with pytest.raises(IllegalCombination, match=r"needs feature maps .*, a layer gives \[4, 3\]"):
        loss(torch.zeros(4, 3), maps())
