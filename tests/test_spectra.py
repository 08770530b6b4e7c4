"""Spectra against cases whose answer is known: noise, sines, images that end at a border."""

import numpy as np
import pytest

from memnet.network.model import Config, build
from memnet.protocol import metrics, tasks
from memnet.protocol.datasets import Picture
from memnet.study import analysis, spectra, store

TINY = Config(blocks=4, recursions=3, channels=4)
windows = pytest.mark.parametrize("window", spectra.WINDOWS)


@windows
@pytest.mark.parametrize("shape", [(64, 64), (63, 80)])
def test_white_noise_is_flat_at_its_variance(shape, window):
    noise = 0.3 * np.random.default_rng(0).standard_normal((400, *shape))
    density = np.mean([spectra.spectral_density(image, window) for image in noise], axis=0)
    assert len(density) == min(shape) // 2 + 1
    np.testing.assert_allclose(density[4:], 0.09, rtol=0.05)
    assert density[:4].mean() == pytest.approx(0.09, rel=0.15)


@pytest.mark.parametrize("direction", ["rows", "columns", "diagonal"])
def test_a_sine_lies_on_its_circle(direction):
    y, x = np.mgrid[:64, :64] / 64
    phase = {"rows": 12 * y, "columns": 12 * x, "diagonal": 3 * y + 4 * x}[direction]
    circle = 5 if direction == "diagonal" else 12
    density = spectra.spectral_density(np.sin(2 * np.pi * phase), "none")
    assert density.argmax() == circle
    assert density[circle] > 1e20 * np.delete(density, circle).max()
    assert spectra.spectral_density(np.sin(2 * np.pi * phase), "hann").argmax() == circle


def test_circles_hold_the_power_of_the_image():
    y, x = np.mgrid[:32, :32] / 32
    image = 2 + np.sin(2 * np.pi * 6 * x) + 0.5 * np.cos(2 * np.pi * 9 * y)
    density = spectra.spectral_density(image, "none")
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32) * 32, np.fft.fftfreq(32) * 32)).round()
    counts = [(radius == k).sum() for k in range(17)]
    assert np.dot(density, counts) == pytest.approx((image**2).sum())  # Parseval


def test_fewer_circles_keep_the_range_of_frequencies():
    y, _ = np.mgrid[:64, :96] / 64
    density = spectra.spectral_density(np.sin(2 * np.pi * 16 * y), circles=8)
    assert len(density) == 9
    assert density.argmax() == 4
    assert spectra.frequencies(8)[4] == 0.25


@pytest.mark.parametrize("window", ["hann", "mirror"])
def test_a_window_takes_the_jump_of_a_ramp_away(window):
    ramp = np.add.outer(np.arange(64), np.arange(80)) / 100
    high = {name: spectra.band(spectra.spectral_density(ramp, name), "high").mean() for name in (window, "none")}
    assert spectra.decibels(high[window]) < spectra.decibels(high["none"]) - 20


@pytest.mark.parametrize("window", ["hann", "mirror"])
def test_a_smooth_image_cut_in_the_middle_has_no_high_frequencies(window):
    y, x = np.mgrid[:96, :80]
    smooth = np.sin(2 * np.pi * y / 37) + np.cos(2 * np.pi * x / 29 + 1)  # no side holds whole periods
    density = spectra.spectral_density(smooth, window)
    below, above = density[:10].max(), spectra.band(density, "high").mean()
    assert spectra.decibels(above) < spectra.decibels(below) - 60
    without = spectra.band(spectra.spectral_density(smooth, "none"), "high").mean()
    assert spectra.decibels(without) > spectra.decibels(above) + 10


@pytest.mark.parametrize("window", ["rect", "Hann", None])
def test_an_unknown_window_is_refused(window):
    with pytest.raises(ValueError, match="choose one of hann, mirror, none"):
        spectra.spectral_density(np.zeros((8, 8)), window)


@pytest.mark.parametrize("shape", [(8, 20, 3), (20,), (1, 20), (20, 1), (0, 4)])
def test_what_is_no_channel_with_two_sides_has_no_spectrum(shape):
    with pytest.raises(ValueError, match=r"sides of 2 pixels or more, got|a channel is"):
        spectra.spectral_density(np.zeros(shape))
    with pytest.raises(ValueError, match=r"sides of 2 pixels or more, got|a channel is"):
        spectra.error_spectrum(np.zeros(shape))


@pytest.mark.parametrize("circles", [0, 5])
def test_circles_that_an_image_does_not_resolve_are_refused(circles):
    with pytest.raises(ValueError, match=f"from 1 to 4, got {circles}"):
        spectra.spectral_density(np.zeros((8, 20)), circles=circles)


BICUBIC = {  # Set5 against the original, dB in the low, mid and high band; measured with an independent implementation
    (2, "none"): (-0.5, -4.9, -5.5),
    (2, "hann"): (-0.6, -7.7, -18.7),
    (2, "mirror"): (-0.6, -7.7, -18.2),
    (3, "none"): (-1.7, -7.4, -6.4),
    (3, "hann"): (-2.1, -16.8, -36.5),
    (3, "mirror"): (-2.2, -16.8, -36.0),
    (4, "none"): (-3.0, -8.8, -6.5),
    (4, "hann"): (-4.2, -27.2, -36.7),
    (4, "mirror"): (-4.2, -27.4, -36.5),
}


def bicubic_bands(images, scale, window):
    """dB of bicubic images against their originals in each band, mean over circles and images."""
    found = []
    for image in images:
        pair = tasks.degrade(image.pixels, task="super-resolution", level=scale, key=image.name)
        original, bicubic = (spectra.decibels(spectra.spectral_density(image, window, 64)) for image in pair)
        found.append([spectra.band(bicubic - original, name).mean() for name in spectra.BANDS])
    return np.mean(found, axis=0)


@pytest.mark.parametrize(("scale", "window"), BICUBIC)
def test_bicubic_against_the_original_is_what_others_measure(benchmark_set, scale, window):
    found = bicubic_bands(benchmark_set("Set5"), scale, window)
    assert found == pytest.approx(BICUBIC[scale, window], abs=0.1)


def test_the_bound_of_claim_3_is_what_a_choice_of_window_changes(benchmark_set):
    images = benchmark_set("Set5")
    changes = [np.abs(bicubic_bands(images, s, "hann") - bicubic_bands(images, s, "mirror")).max() for s in (2, 3, 4)]
    assert max(changes) == pytest.approx(spectra.ALIKE, abs=0.05)


# Errors


@pytest.mark.parametrize("shape", [(40, 40), (37, 52)])
def test_the_error_spectrum_sums_to_the_squared_error(shape):
    error = np.random.default_rng(0).standard_normal(shape).cumsum(axis=0)
    found = spectra.error_spectrum(error, 16)
    assert found.shape == (18,)
    assert found.sum() == pytest.approx((error**2).mean(), rel=1e-12)


def test_decibels_by_frequency_sum_to_the_difference_of_psnr():
    rng = np.random.default_rng(0)
    x = rng.random((48, 60))
    one, other = x + 0.01 * rng.standard_normal(x.shape), x + 0.03 * rng.standard_normal(x.shape).cumsum(axis=1)
    errors = [spectra.error_spectrum(y - x, 20) for y in (one, other)]
    assert spectra.psnr_by_frequency(*errors).sum() == pytest.approx(metrics.psnr(x, one) - metrics.psnr(x, other))
    assert spectra.psnr_by_frequency(errors[0], errors[0]).tolist() == [0] * 22


def test_a_frequency_that_is_restored_brings_the_decibels():
    y, _ = np.mgrid[:64, :64] / 64
    coarse, fine = np.sin(2 * np.pi * 4 * y), 0.5 * np.sin(2 * np.pi * 28 * y)
    errors = {"y": spectra.error_spectrum(fine)[None], "input": spectra.error_spectrum(coarse + fine)[None]}
    table = spectra.psnr_by_band(errors, [("y", "input")])
    assert table[["low", "mid", "high", "beyond", "all"]].values.tolist() == [
        pytest.approx([20 * np.log10(5**0.5), 0, 0, 0, 20 * np.log10(5**0.5)], abs=1e-9)
    ]


# Rows


@pytest.fixture
def tiny_images(monkeypatch, tiny_runs):
    """Two noise images as the embedded set, and tiny networks with their rows in a temporary folder."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 132, 140), np.uint8)
    from memnet.protocol import datasets

    images = datasets.Pictures("ab", lambda i: noise[i])
    monkeypatch.setattr(datasets, "pictures", lambda name: images)
    monkeypatch.setattr(datasets, "names", lambda name: images.names)
    monkeypatch.setattr(datasets, "digest", lambda name: "two")
    return images


def test_spectra_are_those_of_the_predictions():
    model = build(TINY).eval()
    image = np.random.default_rng(0).integers(0, 256, (132, 136), np.uint8)
    table = spectra.measure_image(model, Picture("a", image), task="jpeg", level=10)
    assert table[table.kind == "hann"].of.tolist() == ["original", "input", "1", "2", "3", "4"]
    row = table[(table.kind == "hann") & (table.of == "original")].iloc[0, 3:-1].to_numpy(float)
    np.testing.assert_allclose(10 ** (row / 10), spectra.spectral_density(image / 255, "hann", 64))
    original, degraded = tasks.degrade(image, task="jpeg", level=10, key="a")
    error = table[(table.kind == "error") & (table.of == "input")].iloc[0, 3:].to_numpy(float)
    assert -spectra.decibels((10 ** (error / 10)).sum()) == pytest.approx(metrics.psnr(original, degraded))


def test_spectra_are_measured_once(tiny_images, monkeypatch):
    runs = {"Mem": "sr-M6R6"}
    first = spectra.prediction_spectra(runs, "embedded", 4, limit=1)
    assert list(first["hann"]) == ["original", "input", "Mem1", "Mem2"]
    assert first["hann"]["Mem1"].shape == (1, 65)
    assert first["error"]["Mem1"].shape == (1, 66)
    both = spectra.prediction_spectra(runs, "embedded", 4)
    np.testing.assert_array_equal(both["error"]["Mem2"][:1], first["error"]["Mem2"])
    monkeypatch.setattr(spectra, "measure_image", None)
    np.testing.assert_array_equal(spectra.prediction_spectra(runs, "embedded", 4)["none"]["Mem2"], both["none"]["Mem2"])
    monkeypatch.setattr("memnet.protocol.datasets.available", lambda name: False)
    assert len(spectra.prediction_spectra(runs, "embedded", 4, limit=1)["none"]["Mem2"]) == 1


def test_rows_of_other_images_or_weights_are_not_reused(tiny_images, monkeypatch):
    calls = []

    def measure(model, image, **what):
        calls.append(image.name)
        return spectra.measure_image(model, image, **what)

    collect = lambda **how: store.image_rows("spectra", "sr-M6R6", "embedded", 4, measure, limit=1, **how)  # noqa: E731
    collect()
    collect()
    assert calls == ["a"]
    collect(fresh=True)
    assert calls == ["a", "a"]
    monkeypatch.setattr("memnet.protocol.datasets.digest", lambda name: "others")
    collect()
    assert calls == ["a", "a", "a"]
    monkeypatch.setattr("memnet.network.checkpoints.weights_hash", lambda path: "others")
    collect()
    assert len(calls) == 4


def test_rows_need_weights(tiny_images):
    with pytest.raises(ValueError, match="sr-M4R6 has no weights"):
        spectra.prediction_spectra({"Mem": "sr-M4R6"}, "embedded", 4)


# Claims


def densities(nl6, mem6, nl4=1.0, mem4=1.0, images=5):
    """Densities of 4 predictions, flat but for a little spread over images, times the given factors."""
    spread = np.random.default_rng(0).lognormal(sigma=0.01, size=(4, images, 31))
    return dict(
        zip(["Mem4", "Mem6", "NL4", "NL6"], spread * np.reshape([mem4, mem6, nl4, nl6], (4, 1, 1)), strict=True)
    )


def test_claims_are_supported_where_they_are_true():
    table = spectra.claims(densities(nl6=0.8, mem6=1.25))
    assert table.number.tolist() == [1, 2, 3, 4]
    assert table.difference.tolist() == ["NL4 - NL6", "Mem6 - Mem4", "Mem4 - NL4", "Mem6 - NL6"]
    assert set(table.verdict) == {"supported"}
    assert table.decibels[[0, 1, 3]].tolist() == pytest.approx([0.97, 0.97, 1.94], abs=0.05)
    assert (table.low < table.decibels).all()
    assert (table.decibels < table.high).all()


def test_claims_are_not_supported_where_they_are_false():
    table = spectra.claims(densities(nl6=1.2, mem6=0.9, mem4=1.3))
    assert set(table.verdict) == {"not supported"}


@pytest.mark.parametrize(("factor", "verdict"), [(0.3, "supported"), (0.7, "not supported")])
def test_alike_has_a_bound_of_its_own(factor, verdict):
    for mem6 in (1.0, 100.0):  # whatever claim 4 says
        table = spectra.claims(densities(nl6=1.0, mem6=mem6, mem4=10 ** (factor / 10)))
        assert table.verdict[2] == verdict


def test_one_image_decides_nothing():
    table = spectra.claims(densities(nl6=0.8, mem6=1.25, images=1))
    assert set(table.verdict) == {"undecided"}
    assert table.low.isna().all()


def test_claims_of_sets_and_windows_stand_in_one_table():
    kinds = {"hann": densities(0.8, 1.25), "none": densities(1.2, 0.9, mem4=1.3)}
    table = spectra.claims_of({"Set5": kinds, "BSD100": kinds})
    assert table.groupby("window").verdict.unique().map(list).to_dict() == {
        "hann": ["supported"],
        "none": ["not supported"],
    }
    assert table.dataset.unique().tolist() == ["Set5", "BSD100"]


def test_an_interval_across_the_bound_is_undecided():
    table = spectra.claims(densities(nl6=1.0, mem6=1.0, images=3))
    assert table.verdict[[0, 1, 3]].tolist() == ["undecided"] * 3
    alike = densities(nl6=1.0, mem6=1.0, images=2)
    alike["Mem4"] *= 10 ** (np.array([[0.2], [0.7]]) / 10)  # |differences| of about 0.2 and 0.7 dB, bound 0.5
    assert spectra.claims(alike).verdict[2] == "undecided"


def test_claims_need_the_predictions_of_two_networks():
    with pytest.raises(ValueError, match="NL4, NL6 is missing"):
        spectra.claims({"Mem4": np.ones((2, 9)), "Mem6": np.ones((2, 9))})


def test_the_image_shown_has_most_of_the_high_frequencies():
    densities = {name: np.ones((3, 61)) for name in ("Mem4", "Mem6", "NL4", "NL6")}
    densities["Mem6"][1, 45:] = 10
    densities["Mem6"][2, :30] = 100
    assert spectra.choose(densities) == 1
    assert spectra.choose(densities, 2) == 2
    for shown in (-2, 3):
        with pytest.raises(ValueError, match=f"0 to 2 for 3 images, got {shown}"):
            spectra.choose(densities, shown)


def test_fig_4_compares_two_runs():
    assert spectra.named("a b") == {"Mem": "a", "NL": "b"}
    with pytest.raises(ValueError, match="compares two runs, with and without long-term memory, got 'a'"):
        spectra.named("a")


def test_densities_beside_the_original_are_ratios_of_power_in_decibels():
    found = spectra.relative({"original": np.array([1.0, 4.0]), "half": np.array([[0.5, 2.0], [1.0, 4.0]])})
    np.testing.assert_array_equal(found["original"], 0)
    np.testing.assert_allclose(found["half"], [[-3.0103, -3.0103], [0, 0]], atol=1e-4)


def test_interval_is_students():
    mean, low, high = analysis.interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 / np.sqrt(3))


@pytest.mark.parametrize("window", spectra.WINDOWS)
def test_floats_of_every_length_are_taken(window):
    image = np.random.default_rng(0).random((12, 9))
    expected = spectra.spectral_density(image, window)
    for kind in (np.float32, np.longdouble):
        np.testing.assert_allclose(spectra.spectral_density(image.astype(kind), window), expected, rtol=1e-4)
