"""Networks at work on arrays, colour pictures and files."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from memnet.network import memory
from memnet.network.model import Config, build
from memnet.protocol import datasets, degradations, images, photographs, tasks
from memnet.restoration import arrays, files, tiling
from memnet.study import registry

TINY = Config(1, 2, channels=4)


@pytest.fixture
def model():
    """A tiny network that changes its input, with statistics that differ from their initial values."""
    torch.manual_seed(0)
    network = build(TINY)
    with torch.no_grad():
        network.reconnet.conv.weight.mul_(0.05)
        network(torch.rand(2, 1, 16, 16))
    return network.eval()


@pytest.fixture
def identity():
    """A network whose output is its input."""
    network = build(TINY)
    torch.nn.init.zeros_(network.reconnet.conv.weight)
    return network.eval()


def test_predictions_come_as_planes(model):
    image = np.random.default_rng(0).random((9, 13))
    y, y_m = tiling.predict(model, image)
    assert y.shape == image.shape
    assert y.dtype == np.float64
    assert len(y_m) == 1
    assert np.abs(y - image).max() > 1e-3


@pytest.mark.parametrize("tile", [5, 16, 64])
def test_tiles_give_what_the_whole_image_gives(model, tile):
    image = np.random.default_rng(0).random((41, 37))
    whole = tiling.restore_channel(model, image)
    shares = []
    tiled = tiling.restore_channel(model, image, tile=tile, progress=shares.append)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    assert shares[-1] == 1
    assert shares == sorted(shares)


@pytest.mark.parametrize("tile", [None, 16])
def test_an_ensemble_is_the_mean_over_eight_orientations(model, tile):
    image, shares = np.random.default_rng(0).random((23, 31)), []
    both = (lambda image: image, np.transpose)
    flips = ((), (0,), (1,), (0, 1))
    every = [
        turn(np.flip(tiling.restore_channel(model, np.flip(turn(image), axes)), axes))
        for turn in both
        for axes in flips
    ]
    ensemble = tiling.restore_channel(model, image, tile=tile, ensemble=True, progress=shares.append)
    np.testing.assert_allclose(ensemble, np.mean(every, axis=0), atol=1e-6)
    assert np.abs(ensemble - every[0]).max() > 1e-4
    turned = tiling.restore_channel(model, np.rot90(image), ensemble=True)
    np.testing.assert_allclose(turned, np.rot90(ensemble), atol=1e-6)
    assert shares[-1] == pytest.approx(1)
    assert shares == sorted(shares)


def test_the_reach_is_what_the_tiles_need():
    model = build(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()  # nothing is lost in a ReLU
    image = np.zeros((1, 4 * TINY.receptive_field_radius))
    changed = image.copy()
    changed[0, 0] = 1
    difference = np.abs(tiling.predict(model, image)[0] - tiling.predict(model, changed)[0])[0]
    assert difference[TINY.receptive_field_radius] > 0
    assert not difference[TINY.receptive_field_radius + 1 :].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (3, 2)])
def test_any_size(identity, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(arrays.restore(picture, task="denoising", model=identity), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_type_and_range_are_kept(identity, colour_picture, dtype):
    picture = colour_picture if dtype == np.uint8 else (colour_picture / 255).astype(dtype)
    for image in (picture, picture[..., 1]):
        restored = arrays.restore(image, task="jpeg", model=identity)
        assert restored.dtype == dtype
        np.testing.assert_allclose(restored, image, atol=1e-6)


def test_colour_is_kept_and_luma_restored(model, colour_picture):
    rgb = colour_picture / 255
    restored = images.rgb_to_ycbcr(arrays.restore(rgb, task="denoising", model=model, luma_only=True))
    before = images.rgb_to_ycbcr(rgb)
    np.testing.assert_allclose(restored[..., 1:].mean(), before[..., 1:].mean(), atol=0.01)
    expected = tiling.restore_channel(model, before[..., 0])
    assert np.abs(restored[..., 0] - expected).mean() < 0.01


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_enlarges(identity, colour_picture, scale):
    large = arrays.restore(colour_picture, task="super-resolution", scale=scale, model=identity)
    assert large.shape == (40 * scale, 30 * scale, 3)
    gray = arrays.restore(colour_picture[..., 0] / 255, task="super-resolution", scale=scale, model=identity)
    expected = degradations.imresize(colour_picture[..., 0] / 255, scale)
    np.testing.assert_allclose(gray, expected.clip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"\(H, W\) or \(H, W, 3\)"),
        (np.zeros((0, 4), np.uint8), "at least one pixel"),
        (np.zeros((4, 4), np.int32), "got int32"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 200.0), r"lies in \[0, 1\]"),
        ([[0.5]], "numpy array"),
    ],
)
def test_what_is_no_image_is_refused(identity, image, words):
    with pytest.raises(ValueError, match=words):
        arrays.restore(image, task="denoising", model=identity)


def test_scales_are_checked(identity):
    image = np.zeros((4, 4))
    for scale in (None, 5, 3.0):
        with pytest.raises(ValueError, match=r"scale \(--level\) of 2, 3 or 4"):
            arrays.restore(image, task="super-resolution", scale=scale, model=identity)
    with pytest.raises(ValueError, match="takes no scale"):
        arrays.restore(image, task="jpeg", scale=2, model=identity)
    with pytest.raises(ValueError, match="unknown task"):
        arrays.restore(image, task="haze", model=identity)


def restored_file(source, identity, **options):
    target = source.parent / "out" / f"{source.stem}.png"
    target.parent.mkdir(exist_ok=True)
    photograph = files.restore_file(source, target, task="denoising", model=identity, **options)
    with Image.open(target) as picture:
        picture.load()
    return photograph, picture


def test_orientation_is_applied(tmp_path, identity, colour_picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(colour_picture).save(tmp_path / "a.png", exif=exif)
    _, picture = restored_file(tmp_path / "a.png", identity)
    assert picture.size == (40, 30)
    np.testing.assert_array_equal(np.asarray(picture), np.rot90(colour_picture, -1))


def test_first_frame_of_several_is_said(tmp_path, identity, colour_picture):
    frames = [Image.fromarray(colour_picture[::step]).resize((30, 40)) for step in (1, -1)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photograph, _ = restored_file(tmp_path / "a.gif", identity)
    assert photograph.remarks == ("first frame of several",)


def test_nothing_is_replaced_unless_asked(tmp_path, identity, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    restored_file(tmp_path / "a.png", identity)
    with pytest.raises(ValueError, match="is there already: give --overwrite"):
        restored_file(tmp_path / "a.png", identity)
    restored_file(tmp_path / "a.png", identity, overwrite=True)


def test_every_file_of_a_call_has_its_own_result():
    sources = [Path(name) for name in ("a.png", "b.png", "b.JPG", "c/d.png", "e/d.png", "e/B.png")]
    targets = files.targets_for(sources, Path("o"), task="denoising", scale=None)
    names = ["a", "b.png", "b.JPG", "d.png", "d.png-2", "B.png-2"]
    assert targets == [Path("o") / f"{name}-denoised.png" for name in names]


def test_a_processor_without_memory_is_out_of_memory(tmp_path, identity, colour_picture, monkeypatch):
    monkeypatch.setattr("memnet.restoration.tiling.predict", lambda *_, **__: torch.empty(10**15))
    images.write_picture(tmp_path / "a.png", colour_picture)
    with pytest.raises(MemoryError):
        files.restore_file(tmp_path / "a.png", tmp_path / "b.png", task="jpeg", model=identity)
    assert not (tmp_path / "b.png").exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path, identity, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    target = tmp_path / "none" / "a.png"
    with pytest.raises(ValueError, match="cannot be written"):
        files.restore_file(tmp_path / "a.png", target, task="jpeg", model=identity)


def test_tiles_of_the_paper_have_seams(model):
    image = np.random.default_rng(0).random((160, 150))
    whole = tiling.restore_channel(model, image)
    deep = build(Config(4, 3, channels=4))
    with torch.no_grad():
        deep(torch.rand(2, 1, 32, 32))
    deep = deep.eval()
    assert model.config.receptive_field_radius <= 8 < deep.config.receptive_field_radius
    np.testing.assert_allclose(tiling.restore_channel(model, image, tile="paper"), whole, atol=1e-6)
    apart = np.abs(tiling.restore_channel(deep, image, tile="paper") - tiling.restore_channel(deep, image))
    assert apart[: 134 - deep.config.receptive_field_radius, : 134 - deep.config.receptive_field_radius].max() < 1e-6
    assert apart[126:142].max() > 1e-5


@pytest.mark.parametrize("tile", [0, -3, "big", 1.5])
def test_tiles_that_cannot_be_are_refused(model, tile):
    with pytest.raises(ValueError, match="the edge of a tile"):
        tiling.restore_channel(model, np.zeros((9, 9)), tile=tile)


def test_large_images_are_cut_to_what_the_memory_holds(model, monkeypatch):
    image = np.random.default_rng(0).random((150, 140)).astype(np.float32)
    whole = tiling.restore_channel(model, image)
    seen = []
    predict = tiling.predict
    monkeypatch.setattr(tiling, "predict", lambda net, part, progress: seen.append(part.shape) or predict(net, part))
    monkeypatch.setattr("memnet.network.memory.free", lambda device: 100_000)
    np.testing.assert_allclose(tiling.restore_channel(model, image), whole, atol=1e-6)
    edge = tiling.largest_edge(model)
    assert len(seen) > 1
    assert max(map(max, seen)) <= edge


def test_what_is_free_is_what_the_system_says():
    free = memory.free(torch.device("cpu"))
    assert 10**7 < free < 10**14


TRAINED = [run for run in map(registry.main_run, tasks.TASKS) if registry.trained(run)]


@pytest.mark.slow
@pytest.mark.parametrize("run", TRAINED)
def test_an_overlap_of_56_is_within_half_a_grey_level(run):
    model, task = registry.load(run), registry.experiment(run).task
    image = datasets.pictures("embedded")[2].pixels
    level = tasks.task(task).levels[-1]
    degraded = tasks.degrade(image, task=task, level=level, key="overlap")[1]
    whole = tiling.restore_channel(model, degraded)
    apart = np.abs(tiling.restore_channel(model, degraded, tile=100, overlap=56) - whole)
    assert 255 * apart.max() < 0.5
    assert 255 * np.abs(tiling.restore_channel(model, degraded, tile=100, overlap=0) - whole).max() > 0.5


def test_a_whole_image_shows_its_progress_too(model):
    shares = []
    tiling.restore_channel(model, np.zeros((9, 9)), progress=shares.append)
    assert shares == [0.5, 1.0]  # one block of two recursions


def test_an_overlap_beyond_the_reach_changes_nothing(model):
    image, radius = np.random.default_rng(0).random((40, 50)), TINY.receptive_field_radius
    exact, more = (tiling.restore_channel(model, image, tile=16, overlap=n) for n in (radius, 10**6))
    np.testing.assert_array_equal(exact, more)


def test_memory_for_the_image_itself_is_a_few_bytes_a_pixel(identity):
    image = np.zeros((700, 500, 3), np.uint8)
    arrays.restore(image, task="super-resolution", scale=2, model=identity, tile=256)  # whatever is made once
    tracemalloc.start()
    arrays.restore(image, task="super-resolution", scale=2, model=identity, tile=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 4 * image.shape[0] * image.shape[1] + 2**25


def test_alpha_is_enlarged_with_the_image(tmp_path, identity, colour_picture):
    alpha = np.tile(np.linspace(0, 255, 30).astype(np.uint8), (40, 1))
    Image.fromarray(np.dstack([colour_picture, alpha])).save(tmp_path / "a.png")
    how = {"task": "super-resolution", "scale": 2, "model": identity}
    files.restore_file(tmp_path / "a.png", tmp_path / "b.png", **how)
    with Image.open(tmp_path / "b.png") as picture:
        large = np.asarray(picture)
    assert large.shape == (80, 60, 4)
    expected = degradations.imresize(alpha, 2).clip(0, 255)
    np.testing.assert_allclose(large[..., 3], expected, atol=0.51)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="only Linux says so in this way")
def test_free_memory_falls_with_what_is_taken(monkeypatch, tmp_path):
    report = tmp_path / "meminfo"
    monkeypatch.setattr("memnet.network.memory.left_in_groups", lambda root, membership: [])
    monkeypatch.setattr(memory, "Path", lambda name: report if name == "/proc/meminfo" else Path(name))
    for kilobytes in (123, 4567):
        report.write_text(f"MemTotal: 999999 kB\nMemAvailable: {kilobytes} kB\n")
        assert memory.free(torch.device("cpu")) == 1024 * kilobytes


def test_links_that_lead_in_a_circle_keep_no_other_image_from_it(tmp_path, colour_picture):
    images.write_picture(tmp_path / "a.png", colour_picture)
    (tmp_path / "loop.png").symlink_to("loop.png")
    sources, wrong, _ = files.expand([tmp_path / "loop.png", tmp_path / "a.png"])
    assert tmp_path / "a.png" in sources
    assert len(sources) + len(wrong) == 2


def test_limits_on_memory_of_a_group_and_of_those_around_it_are_asked(tmp_path):
    assert memory.left_in_groups(tmp_path, "0::/user/job\n") == []

    def limit(folder, most, used, unused):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in {"max": most, "current": used, "stat": f"anon 5\ninactive_file {unused}"}.items():
            (tmp_path / folder / f"memory.{name}").write_text(f"{text}\n")

    limit("user/job", "max", 800, 0)
    limit("user", 3000, 1000, 100)
    limit("", 500, 900, 0)
    limit("elsewhere", 1, 1, 0)
    assert memory.left_in_groups(tmp_path, "0::/user/job\n") == [2100, 0]


def test_limits_on_memory_of_version_1_are_asked(tmp_path):
    folder = tmp_path / "memory" / "slurm" / "job_7"
    folder.mkdir(parents=True)
    for name, text in {"limit_in_bytes": "500", "usage_in_bytes": "400", "stat": "total_inactive_file 30"}.items():
        (folder / f"memory.{name}").write_text(f"{text}\n")
    membership = "5:cpu,cpuacct:/slurm\n4:memory:/slurm/job_7\n"
    assert memory.left_in_groups(tmp_path, membership) == [130]


@pytest.mark.parametrize(("luma_only", "lowest", "highest"), [(False, 30, 34), (True, 21, 23)])
def test_colour_noise_goes_when_all_channels_are_restored(luma_only, lowest, highest):
    clean = datasets.embedded_colour()[0][1][40:140, 40:140] / 255
    noisy = degradations.gaussian_noise(clean, 25, np.random.default_rng(0))
    restored = arrays.restore(noisy, task="denoising", model=registry.load("denoising-M6R6-any"), luma_only=luma_only)
    assert lowest < -10 * np.log10(np.mean((restored - clean) ** 2)) < highest


def test_strength_mixes_input_and_result(model, colour_picture):
    how = {"task": "jpeg", "model": model}
    image = colour_picture / 255
    full = arrays.restore(image, **how)
    np.testing.assert_allclose(arrays.restore(image, **how, strength=0), image, atol=1e-6)
    np.testing.assert_allclose(arrays.restore(image, **how, strength=0.25), 0.75 * image + 0.25 * full, atol=1e-6)
    with pytest.raises(ValueError, match="strength is a number from 0"):
        arrays.restore(image, **how, strength=1.5)


@pytest.mark.parametrize("run", TRAINED)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 50)])
def test_the_smallest_images_keep_their_mean(run, shape):
    task = registry.experiment(run).task
    if task == "super-resolution":
        pytest.skip("its input is at least two pixels high and wide")
    image = np.full(shape, 0.6) + np.random.default_rng(0).normal(0, 0.02, shape)
    assert abs(arrays.restore(image, task=task, model=registry.load(run)).mean() - image.mean()) < 4 / 255


def test_a_network_in_training_mode_is_evaluated_and_left_so():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.still = torch.nn.BatchNorm2d(1), torch.nn.BatchNorm2d(1)

        def predictions(self, x):
            y = self.norm(x)
            return y, [y]

    model, image = Own(), np.random.default_rng(0).random((9, 9))
    model.still.eval()
    left, right = tiling.predict(model, image)[0], tiling.predict(Own().eval(), image)[0]
    np.testing.assert_array_equal(left, right)
    assert (model.training, model.norm.training, model.still.training) == (True, True, False)
    assert model.norm.num_batches_tracked == 0


def test_a_damaged_network_is_refused(identity):
    with torch.no_grad():
        identity.reconnet.conv.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"not finite .* weights are damaged"):
        arrays.restore(np.zeros((9, 9)), task="jpeg", model=identity)


def test_an_image_that_no_memory_holds_is_refused_before_it_is_tried(identity, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    with pytest.raises(MemoryError, match="the image itself needs"):
        arrays.restore(np.zeros((20, 20)), task="jpeg", model=identity)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(0, 30))
def test_tiles_cover_every_pixel_once(height, width, size, overlap):
    covered, values = np.zeros((height, width), int), np.arange(height * width).reshape(height, width)
    for seen, inner, place in tiling.tiles((height, width), size=size, overlap=overlap):
        covered[place] += 1
        np.testing.assert_array_equal(values[seen][inner], values[place])
        for part, length in zip(seen, (height, width), strict=True):
            assert 0 <= part.start < part.stop <= length
    assert (covered == 1).all()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2]))
def test_chroma_of_any_size_is_shrunk_and_grown(height, width, scale):
    channel = np.full((height, width), 0.25, np.float32)
    small = arrays.shrunk(channel, scale)
    assert small.shape == (-(-height // scale), -(-width // scale))
    grown = arrays.grown(small, slice(0, height), scale)[:, :width]
    np.testing.assert_allclose(grown, channel, atol=1e-6)


def test_chroma_of_jpeg_is_restored_at_half_its_size(model, colour_picture):
    rgb = colour_picture[:39, :29] / 255
    restored = images.rgb_to_ycbcr(arrays.restore(rgb, task="jpeg", model=model))
    paper = images.rgb_to_ycbcr(arrays.restore(rgb, task="jpeg", model=model, luma_only=True))
    small = arrays.shrunk(images.rgb_to_ycbcr(rgb)[..., 1].astype(np.float32), 2)
    change = degradations.imresize(tiling.restore_channel(model, small) - small, 2)[:39, :29]
    inside = ((restored - paper)[..., 1] - change)[(np.abs(rgb - 0.5) < 0.4).all(axis=2)]
    assert np.abs(change).mean() > 1e-4
    assert np.median(np.abs(inside)) < 1e-6
    assert arrays.restore(rgb, task="jpeg", model=model).shape == (39, 29, 3)


def test_transparent_pixels_get_the_colour_of_the_nearest_visible_one():
    pixels = np.array([[10, 20, 0, 0, 50]], np.uint8)
    alpha = np.array([[255, 90, 0, 3, 255]], np.uint8)
    np.testing.assert_array_equal(files.with_colours_everywhere(pixels, alpha), [[10, 20, 20, 50, 50]])
    assert files.with_colours_everywhere(pixels, alpha * 0) is pixels
    assert files.with_colours_everywhere(pixels, None) is pixels


def test_16_bits_and_printed_size_are_kept(tmp_path, identity):
    values = np.arange(20 * 30 * 3).reshape(20, 30, 3).astype(np.uint16) * 36
    photographs.write_photograph(tmp_path / "a.png", photographs.Photograph(values, dpi=(300.0, 300.0)))
    options = {"task": "super-resolution", "scale": 2, "model": identity}
    files.restore_file(tmp_path / "a.png", tmp_path / "b.png", **options)
    large = photographs.read_photograph(tmp_path / "b.png")
    assert (large.pixels.dtype, large.pixels.shape) == (np.uint16, (40, 60, 3))
    np.testing.assert_allclose(large.pixels[..., 0], degradations.imresize(values[..., 0], 2).clip(0, 65535), atol=1)
    assert large.dpi == pytest.approx((600, 600), abs=0.1)


def test_a_white_disc_on_transparency_gets_no_fringe(tmp_path):
    rows, columns = np.mgrid[:20, :28]
    disc = np.where((columns - 14) ** 2 + (rows - 10) ** 2 < 60, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([disc, disc, disc, disc])).save(tmp_path / "a.png")
    options = {"task": "sr", "scale": 2, "model": registry.load("sr-M6R1")}
    result = files.restore_file(tmp_path / "a.png", tmp_path / "b.png", **options)
    assert photographs.on_white(result.pixels, result.alpha).min() > 247
