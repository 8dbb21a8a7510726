import math

import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torch.func import vmap

from fedkd.losses import kd
from fedkd.tasks import Classification, Generation

TEXT, ANSWERS = Generation(), Generation(prompt=3)
SYMBOLS = 5


def said(n: int = 6, places: int = 7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    outputs = 2 * torch.randn(n, places, SYMBOLS, generator=generator, dtype=torch.float64)
    targets = torch.randint(SYMBOLS, (n, places), generator=generator)
    targets[0, 5:], targets[1, 0] = -1, -1
    return outputs, targets


def test_metrics_are_those_of_all_known_symbols_and_agree_with_scikit_learn() -> None:
    outputs, targets = said()
    known = targets >= 0
    probabilities, true = outputs[known].softmax(dim=-1).numpy(), targets[known].numpy()
    nats = metrics.log_loss(true, probabilities, labels=range(SYMBOLS))
    measured = TEXT.metrics(outputs, targets)
    assert measured["loss"] == pytest.approx(nats, abs=1e-8)
    assert measured["bits_per_character"] == pytest.approx(nats / math.log(2), abs=1e-8)
    assert measured["perplexity"] == pytest.approx(math.exp(nats), abs=1e-8)
    assert measured["accuracy"] == pytest.approx(metrics.accuracy_score(true, probabilities.argmax(axis=1)))


def test_the_mean_over_samples_of_the_loss_that_is_trained_is_the_loss_that_is_reported() -> None:
    outputs, targets = said()
    targets = targets.clamp_min(0)
    assert float(TEXT.supervised(outputs, targets).mean()) == pytest.approx(
        TEXT.metrics(outputs, targets)["loss"], abs=1e-8
    )


def test_a_text_of_one_symbol_is_a_classification() -> None:
    outputs, targets = said(places=1)
    targets = targets.clamp_min(0)
    theirs = Classification()
    torch.testing.assert_close(
        TEXT.supervised(outputs, targets), theirs.supervised(outputs[:, 0], targets[:, 0])
    )
    other = said(places=1, seed=1)[0]
    torch.testing.assert_close(
        TEXT.divergence(outputs, other, temperature=2.0),
        theirs.divergence(outputs[:, 0], other[:, 0], temperature=2.0),
    )
    assert (
        TEXT.metrics(outputs, targets)["accuracy"] == theirs.metrics(outputs[:, 0], targets[:, 0])["accuracy"]
    )


def test_what_is_said_of_the_prompt_or_of_unknown_symbols_counts_nowhere() -> None:
    outputs, targets = said()
    teacher = said(seed=1)[0]
    changed, other = outputs.clone(), teacher.clone()
    changed[:, :2], other[:, :2] = said(seed=2)[0][:, :2], said(seed=3)[0][:, :2]
    assert ANSWERS.metrics(outputs, targets) == ANSWERS.metrics(changed, targets)
    for measure in ("task", "mae", "mse"):
        before, after = (
            ANSWERS.divergence(*pair, measure=measure) for pair in ((outputs, teacher), (changed, other))
        )
        assert torch.equal(before, after)
    changed[0, 5:] = 7.0
    assert torch.equal(ANSWERS.supervised(outputs, targets), ANSWERS.supervised(changed, targets))
    assert ANSWERS.chance(targets) == torch.bincount(targets[:, 2:][targets[:, 2:] >= 0]).max() / (4 * 5 + 8)


def test_word_level_distillation_is_the_mean_over_places_of_the_divergence_of_classes() -> None:
    outputs, _ = said()
    teacher, _ = said(seed=1)
    rows = kd(outputs.flatten(0, 1), teacher.flatten(0, 1), temperature=3.0, reduction="none")
    torch.testing.assert_close(
        TEXT.divergence(outputs, teacher, temperature=3.0), rows.view(6, 7).mean(dim=1)
    )


def test_an_exact_match_is_a_sample_that_greedy_decoding_reproduces() -> None:
    """The network adds 1 to the last symbol, but for one symbol where it is wrong; decoded by hand, symbol by symbol."""
    table = torch.tensor([1, 2, 3, 4, 2])

    def network(tokens: torch.Tensor) -> torch.Tensor:
        return F.one_hot(table[tokens], SYMBOLS).double()

    whole = (torch.arange(5)[:, None] + torch.arange(6)) % SYMBOLS
    tokens, targets = whole[:, :-1], whole[:, 1:]
    decoded = tokens[:, : ANSWERS.prompt]
    while decoded.shape[1] < whole.shape[1]:
        decoded = torch.cat([decoded, network(decoded)[:, -1].argmax(dim=-1)[:, None]], dim=1)
    greedy = (decoded == whole).all(dim=1).double().mean()
    assert ANSWERS.metrics(network(tokens), targets)["exact_match"] == pytest.approx(float(greedy))
    assert 0 < greedy < 1


def test_gradients_are_right_and_do_not_depend_on_whether_samples_are_mapped_over() -> None:
    outputs, targets = said(n=3, places=4)
    targets[2] = -1
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ANSWERS.supervised(x, targets), outputs)
    losses = vmap(lambda x, y: ANSWERS.supervised(x[None], y[None])[0])(outputs, targets)
    torch.testing.assert_close(losses, ANSWERS.supervised(outputs, targets))
    assert float(losses[2].detach()) == 0.0


def test_nothing_to_measure_gives_nan_for_every_metric() -> None:
    for outputs, targets in (
        (torch.empty(0, 7, 5), torch.empty(0, 7).long()),
        (said()[0], said()[1] * 0 - 1),
    ):
        assert all(math.isnan(value) for value in TEXT.metrics(outputs, targets).values())


def test_extreme_scores_give_finite_losses_and_an_ensemble_averages_probabilities() -> None:
    outputs, targets = said()
    assert TEXT.supervised(1e30 * outputs.float(), targets).isfinite().all()
    both = torch.stack([outputs, said(seed=1)[0]])
    mean = TEXT.combine(both, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(
        mean.exp(), torch.einsum("k,knts->nts", torch.tensor([0.25, 0.75]).double(), both.softmax(-1))
    )
    summand, losses = TEXT.summand_and_losses(outputs, targets)
    torch.testing.assert_close(summand, outputs.softmax(dim=-1))
    torch.testing.assert_close(losses, TEXT.supervised(outputs, targets))


def test_a_network_that_says_the_same_everywhere_or_nothing_finite_has_died() -> None:
    outputs, _ = said()
    same, broken = outputs[:1, :1].expand_as(outputs), outputs.clone()
    broken[3, 2, 1] = math.nan
    assert TEXT.died(torch.stack([outputs, same, broken])).tolist() == [False, True, True]
    assert TEXT.agreement(outputs, outputs) == 1.0
    assert TEXT.agreement(outputs, -outputs) < 1.0
