import torch

from fedkd.distillation.noise import Noise

IMAGES = torch.rand(40, 2, 5, 6, generator=torch.Generator().manual_seed(0)) + 1.0


def changed(noise: Noise, x: torch.Tensor = IMAGES) -> torch.Tensor:
    return noise.apply({"x": x}, torch.Generator().manual_seed(1))["x"]


def test_without_noise_nothing_is_changed_and_nothing_is_drawn() -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    assert Noise().apply({"x": IMAGES}, generator)["x"] is IMAGES
    assert torch.equal(generator.get_state(), before)


def test_images_move_by_whole_pixels_each_in_its_own_way_and_tables_stay() -> None:
    moved = changed(Noise(shifted=1))
    found = set()
    for image, other in zip(IMAGES, moved, strict=True):
        padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
        ways = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if torch.equal(padded[:, down : down + 5, right : right + 6], other)
        ]
        assert len(ways) == 1
        found.update(ways)
    assert len(found) == 9
    assert torch.equal(changed(Noise(shifted=1), IMAGES[:, 0, 0]), IMAGES[:, 0, 0])


def test_noise_has_the_stated_size_and_numbers_are_dropped_by_their_share() -> None:
    assert abs(float((changed(Noise(gaussian=0.5)) - IMAGES).std()) - 0.5) < 0.03
    dropped = changed(Noise(dropped=0.25))
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.03
    assert torch.equal(dropped[dropped != 0], IMAGES[dropped != 0])
