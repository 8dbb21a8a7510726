import torch

from fedkd.foundation.seeding import Streams
from fedkd.losses import Paraphraser, Translator, factor_transfer


def test_a_paraphraser_learns_to_make_maps_again_from_fewer_channels() -> None:
    with Streams(0).initialising("test"):
        paraphraser = Paraphraser(4)
    maps = torch.randn(8, 2, 5, 5, generator=torch.Generator().manual_seed(0)).repeat(1, 2, 1, 1)
    optimizer = torch.optim.Adam(paraphraser.parameters(), lr=0.01)
    before = paraphraser.reconstruction(maps).item()
    for _ in range(80):
        optimizer.zero_grad()
        paraphraser.reconstruction(maps).backward()
        optimizer.step()
    assert paraphraser.reconstruction(maps).item() < before / 2
    assert paraphraser(maps).shape == (8, 2, 5, 5)


def test_a_translator_learns_the_factors_and_leaves_the_paraphraser_alone() -> None:
    with Streams(0).initialising("test"):
        paraphraser, translator = Paraphraser(6, factors=3), Translator(2, 3)
    student, teacher = torch.randn(4, 2, 5, 5), torch.randn(4, 6, 5, 5)
    factor_transfer(translator(student), paraphraser(teacher), form="factors").backward()
    assert all(weight.grad is None for weight in paraphraser.parameters())
    assert all(weight.grad is not None for weight in translator.parameters())
