"""Patches and the validation set, of made pictures."""

import numpy as np
import pytest
import torch

from memnet.protocol import tasks
from memnet.training.sampler import FIXED_POINT, UNIFORM_SHARE, Patches
from memnet.training.validation import split, spread

TASKS = ("denoising", "super-resolution", "jpeg")


def pictures(count=3, size=96, seed=0):
    """Smooth made pictures: sums of random waves, uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, : size + 5] / size
    images = []
    for _ in range(count):
        waves = sum(np.sin(2 * np.pi * (a * rows + b * columns + c)) for a, b, c in rng.uniform(-6, 6, (4, 3)))
        images.append(np.round(127.5 + 25 * waves).astype(np.uint8))
    return images


@pytest.mark.parametrize("task", TASKS)
def test_patches_are_crops_of_the_images_in_one_of_eight_orientations(task):
    images = pictures(2, size=24)
    patches = Patches(images, task=task, patch=20)
    multiple = tasks.task(task).multiple
    cropped = [p[: p.shape[0] // multiple * multiple, : p.shape[1] // multiple * multiple] for p in images]
    every = set()
    for image in cropped:
        for turned in (image, image.T):
            for flipped in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1]):
                windows = np.lib.stride_tricks.sliding_window_view(flipped, (20, 20)).reshape(-1, 400)
                every |= {w.tobytes() for w in windows}
    _, clean, _ = patches.draw(64, torch.Generator().manual_seed(0))
    drawn = np.round(clean.numpy() * 255).astype(np.uint8).reshape(64, -1)
    assert {d.tobytes() for d in drawn} <= every


@pytest.mark.parametrize("task", ["super-resolution", "jpeg"])
def test_inputs_are_what_the_protocol_gives_for_the_oriented_image(task):
    image = pictures(1, size=24)[0][:, :24]
    patches = Patches([image], task=task, patch=24)
    levels = tasks.task(task).levels
    expected = []
    for turned in (image, np.ascontiguousarray(image.T)):
        for level in levels:
            reference, degraded = tasks.degrade(turned, task=task, level=level)
            for axes in ((), (0,), (1,), (0, 1)):
                expected.append(np.stack([np.flip(degraded, axes), np.flip(reference, axes)]))
    x, clean, _ = patches.draw(32, torch.Generator().manual_seed(0))
    for pair in torch.cat([x, clean], dim=1).numpy():
        assert min(np.abs(pair - e).max() for e in expected) <= 0.51 / FIXED_POINT


def test_noise_has_the_tasks_levels_and_is_drawn_anew():
    patches = Patches(pictures(), task="denoising", patch=48)
    generator = torch.Generator().manual_seed(0)
    x, clean, _ = patches.draw(60, generator)
    sigmas = (x - clean).std(dim=(1, 2, 3)) * 255
    nearest = torch.tensor([30.0, 50.0, 70.0])
    assert (sigmas[:, None] / nearest - 1).abs().min(dim=1).values.max() < 0.08
    again, _, _ = patches.draw(60, generator)
    assert not torch.equal(x, again)


@pytest.mark.parametrize(("task", "levels"), [("denoising", (5, 15, 75)), ("jpeg", (5, 40, 90))])
def test_levels_of_ones_own_are_weighed_by_the_error_of_their_inputs(task, levels):
    patches = Patches([smooth_and_rough()], task=task, patch=12, levels=levels, balanced=True)
    generator = torch.Generator().manual_seed(0)
    x, clean, weights = patches.draw(9000, generator)
    found = [
        ((x - clean)[weights == weight].square().mean().sqrt(), weight, (weights == weight).float().mean())
        for weight in patches.importance
    ]
    rms, weight, share = (torch.stack(column) for column in zip(*found, strict=True))
    assert torch.allclose(share, torch.full((3,), 1 / 3), atol=0.02)
    assert torch.allclose(rms * weight, (rms * weight).mean().expand(3), rtol=0.05)
    assert float(weight.mean()) == pytest.approx(1)
    if task == "denoising":
        assert torch.allclose(rms * 255, torch.tensor([5.0, 15.0, 75.0]), rtol=0.02)
    parts = [patches.draw_by_importance(8, generator) for _ in range(2500)]
    chosen_x, chosen, chosen_weights = (torch.cat(part) for part in zip(*parts, strict=True))
    uniform = (x - clean).square().mean((1, 2, 3)) * weights
    important = (chosen_x - chosen).square().mean((1, 2, 3)) * chosen_weights
    deviation = float(uniform.std() + important.std()) / 9000**0.5
    assert float(important.mean()) == pytest.approx(float(uniform.mean()), abs=4 * deviation)


def smooth_and_rough():
    """A picture that is smooth on its left half and rough on its right, uint8."""
    image = np.tile(np.linspace(60, 180, 192), (96, 1))
    image[:, 96:] += np.random.default_rng(0).normal(0, 30, (96, 96))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("task", TASKS)
def test_importance_sampling_has_the_same_weighted_mean_and_varies_less(task):
    patches = Patches([smooth_and_rough()], task=task, patch=12)
    generator = torch.Generator().manual_seed(0)
    x, clean, weights = patches.draw(20000, generator)
    parts = [patches.draw_by_importance(8, generator) for _ in range(2500)]
    chosen_x, chosen, weights = (torch.cat(part) for part in zip(*parts, strict=True))

    def error(x, clean):  # as a network would have it that smooths a little
        return (torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - clean).square().mean((1, 2, 3))

    uniform, important = error(x, clean), error(chosen_x, chosen) * weights
    deviation = float(uniform.std() + important.std()) / 20000**0.5
    assert float(important.mean()) == pytest.approx(float(uniform.mean()), abs=4 * deviation)
    assert important.std() < 0.8 * uniform.std()
    draws = important.view(-1, 8).mean(dim=1)
    assert draws.std() < 0.9 * important.std() / 8**0.5  # patches of one draw make up for each other
    assert float(weights.mean()) == pytest.approx(1, abs=0.03)
    assert weights.max() <= 1 / UNIFORM_SHARE
    rough = [float((part.std(dim=(2, 3)) > 0.05).float().mean()) for part in (clean, chosen)]
    assert rough[0] < 0.6
    assert rough[1] > rough[0] + 0.1
    if task == "denoising":
        assert 25 < float((chosen_x - chosen).std()) * 255 < 75


def test_positions_lie_on_the_stride_grid():
    image = np.arange(64 * 64).reshape(64, 64) % 251
    patches = Patches([image.astype(np.uint8)], task="denoising", patch=22, stride=21)
    assert patches.positions == 2 * 9
    clean = patches.draw(3000, torch.Generator().manual_seed(0))[1]
    assert len({c.numpy().tobytes() for c in clean}) == 9 * 8


def test_grown_patches_come_from_the_images_that_hold_them():
    small, large = np.full((40, 96), 10, np.uint8), np.full((96, 96), 200, np.uint8)
    patches = Patches([small, large, small], task="denoising", patch=24)
    larger, generator = patches.grown(2), torch.Generator().manual_seed(0)
    _, clean, _ = larger.draw(50, generator)
    assert clean.shape == (50, 1, 48, 48)
    assert torch.allclose(clean, torch.tensor(200 / 255), atol=1e-4)
    assert {round(float(c.mean()) * 255) for c in patches.draw(50, generator)[1]} == {10, 200}
    with pytest.raises(ValueError, match="no training image holds a patch of 120x120 pixels"):
        patches.grown(5)


def test_images_too_small_for_a_patch_are_refused():
    with pytest.raises(ValueError, match="31x31"):
        Patches([np.zeros((20, 40), np.uint8)], task="jpeg", patch=31)


def test_some_planes_are_spread_over_all_that_are_large_enough():
    images = [np.full((size, 80), number, np.uint8) for number, size in enumerate([80, 20] * 10)]
    assert [int(image[0, 0]) for image in spread(images, 5)] == [0, 4, 8, 12, 16]
    assert len(spread(images)) == 10


def test_validation_images_are_not_trained_on():
    images = pictures(40, size=80)
    learn, held = split(images)
    assert len(held) == 2
    assert len(learn) == 38
    assert not {p.tobytes() for p in learn} & {p.tobytes() for p in held}
    with pytest.raises(ValueError, match="two images or more"):
        split(images[:1])
