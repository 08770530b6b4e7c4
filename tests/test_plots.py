"""Figures: every kind is drawn without a warning, on white, legibly, and twice the same."""

import re
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from memnet import paths
from memnet.network.model import PRESETS, Config, PlainConfig, variant
from memnet.publishing import gate_plots, plots, printed, result_plots, schematics, spectra_plots, style
from memnet.publishing.items import ITEMS
from memnet.study import analysis, gates, spectra

TINY = Config(blocks=2, recursions=2, channels=4)


def png(figure, **options):
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=60, **options)
    return buffer.getvalue()


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def random_spectra(circles=16):
    """Spectra as of `spectra.prediction_spectra`, of three images."""
    rng = np.random.default_rng(0)
    names = ["original", "input", *(f"{name}{m}" for name in ("Mem", "NL") for m in range(1, 7))]
    fall = np.exp(-np.linspace(0, 9, circles + 1))
    densities = {name: fall * rng.random((3, circles + 1)) for name in names}
    errors = {name: rng.random((3, circles + 2)) for name in names if name != "original"}
    return {"hann": densities, "none": densities, "error": errors}


def draw_differences():
    kinds = random_spectra()
    found = spectra.spectral_differences(kinds["hann"])
    means = {pair: analysis.interval(d) for pair, d in found.items()}
    claims = spectra.claims_of({"Set5": kinds, "BSD100": kinds}).query("window == 'hann'")
    one = {pair: difference[0] for pair, difference in found.items()}
    return spectra_plots.differences({"Set5": means, "BSD100": means}, claims, one)


def draw_images_and_spectra():
    rng = np.random.default_rng(0)
    images = {name: rng.random((40, 48)) for name in spectra_plots.LINES}
    scores = {name: 28.0 for name in images if name != "original"}
    return spectra_plots.images_and_spectra(images, (4, 6, 20, 24), scores, "an image")


def draw_densities():
    densities = {name: random_spectra()["hann"][name] for name in spectra_plots.LINES}
    relative = {name: line[0] for name, line in spectra.relative(densities).items()}
    one = {name: density[0] for name, density in densities.items()}
    return spectra_plots.densities(one, {"this image": relative, "mean": relative}, "an image")


def draw_borders():
    image = np.add.outer(np.arange(40), np.arange(48)) / 100
    pair = {"original": image, "input": image**2, "Mem6": image**3}
    lines = {
        window: spectra.relative({name: spectra.spectral_density(y, window, 16) for name, y in pair.items()})
        for window in spectra.WINDOWS
    }
    return spectra_plots.borders(image, lines, spectra.claims_of({"Set5": random_spectra()}), "an image")


def draw_errors():
    error = random_spectra()["error"]
    share = spectra.psnr_by_frequency(error["Mem6"], error["input"]).mean(axis=0)
    return spectra_plots.errors({"over bicubic": {"MemNet": share, "MemNet_NL": 0.5 * share}}, "Set5")


def draw_blocks():
    return spectra_plots.blocks({name: spectra.block_maps(random_spectra(), name) for name in ("Mem", "NL")}, "Set5")


def some_norms(config=TINY):
    """Norms and memories of two untrained networks, with made contributions and losses."""
    rng = np.random.default_rng(0)
    norms = {run: [0.3 + rng.random(n) for n in map_counts(config)] for run in ("denoising-M6R6", "jpeg-M6R6")}
    tables = {run: gates.memory_norms(v, config) for run, v in norms.items()}
    made = {"contribution": rng.random(len(next(iter(tables.values())))), "psnr_lost": 0.4}
    return norms, {run: table.assign(**made) for run, table in tables.items()}


def map_counts(config):
    return [len(config.gate_sources(m)) * config.channels for m in range(1, config.blocks + 1)]


def draw_worth():
    norms, memories = some_norms()
    return gate_plots.worth(memories, gates.observations(norms, memories), TINY)


def draw_growth():
    _, memories = some_norms()
    later = {run: table.assign(norm=table.norm * 1.5) for run, table in memories.items()}
    return gate_plots.growth({run: (memories[run], later[run]) for run in memories}, TINY)


def draw_points():
    points = printed.fig6().assign(origin="paper")
    ours = points.iloc[2:].assign(origin="ours", seconds=[np.nan, 1.0, 1.0, 2.0])
    return result_plots.psnr_against_parameters(pd.concat([points, ours]), "Set5, x3")


def some_images():
    gray = np.random.default_rng(0).random((40, 50))
    return {"original": gray, "input": gray**2, "bright": 1.2 * gray, "uint8": (255 * gray).astype(np.uint8)}


def draw_qualitative():
    return result_plots.qualitative(
        some_images(), area=(5, 10, 20, 16), scores={"input": (28.126, 0.81234)}, title="an image"
    )


def draw_levels():
    summary = pd.DataFrame({"run": "a", "dataset": "S14", "level": [10, 30, 50], "psnr": [33, 29, 27]})
    return result_plots.level_curves(
        summary.assign(input_psnr=[28, 18, 14], pictures=2), paper=(30, 50), level_name="sigma"
    )


def draw_spread():
    rows = pd.DataFrame({"run": ["a"] * 9 + ["b"], "gain": np.arange(10.0), "image": list("abcdefghij")})
    return result_plots.spread(rows)


def draw_training():
    log = pd.DataFrame({"step": [1, 2, 3], "loss": [0.1, 0.02, 0.01], "gain": [0.0, 1.0, 2.0]})
    return plots.training_curves({"sr-M6R6": log, "sr-M6R6-NL": log + 0.1})


def test_the_names_of_many_trainings_cover_no_curve():
    log = pd.DataFrame({"step": [1, 2, 3], "loss": [0.1, 0.02, 0.01], "gain": [0.0, 1.0, 2.0]})
    figure = plots.training_curves({f"network {number}": log + number for number in range(8)})
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_window_extent()) for axes in figure.axes)


FIGURES = {
    "structures": lambda: schematics.structures(PRESETS["plain"], PRESETS["skip"], PRESETS["M6R6"]),
    "basic": lambda: schematics.network(variant(PRESETS["M6R6"], "basic")),
    "multi-supervised": lambda: schematics.network(PRESETS["M6R6"]),
    "without long-term memory": lambda: schematics.network(variant(PRESETS["M4R6"], "NL")),
    "fig. 4 a": draw_images_and_spectra,
    "fig. 4 b": draw_densities,
    "fig. 4 c": draw_differences,
    "borders": draw_borders,
    "errors by frequency": draw_errors,
    "blocks by frequency": draw_blocks,
    "fig. 5": lambda: gate_plots.gate_norms(*some_norms(), TINY),
    "fig. 5 of many gates": lambda: gate_plots.gate_norms(*some_norms(Config(9, 2, 2)), Config(9, 2, 2)),
    "norms by memory": lambda: gate_plots.memory_norms(some_norms()[1], TINY),
    "growth": draw_growth,
    "worth": draw_worth,
    "points": draw_points,
    "pictures": lambda: plots.pictures(some_images(), {"input": (28.126, 0.81234)}, columns=3),
    "qualitative": draw_qualitative,
    "levels": draw_levels,
    "spread": draw_spread,
    "training": draw_training,
    "bars": lambda: result_plots.bars(pd.Series({"no shave": 0.007, "RGB": -1.87}), "dB", "pitfalls"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_on_white_and_twice_the_same(name):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    assert to_rgb(figure.get_facecolor()) == (1, 1, 1)
    first = png(figure)
    with matplotlib.rc_context({"savefig.facecolor": "black", "font.size": 20, "axes.grid": False}):
        assert png(FIGURES[name]()) == first


@pytest.mark.parametrize(
    "name",
    [
        "structures",
        "basic",
        "multi-supervised",
        "fig. 4 a",
        "fig. 4 b",
        "fig. 4 c",
        "borders",
        "blocks by frequency",
        "fig. 5",
        "growth",
        "worth",
    ],
)
def test_no_text_lies_on_another(name):
    if name == "structures" and matplotlib.__version_info__ < (3, 11):
        pytest.skip("matplotlib 3.10 sets two labels of fig. 1 closer")
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    found = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text().strip() and t.get_visible()]
    boxes = [t.get_window_extent() for t in found]
    clashes = [
        (a.get_text(), b.get_text())
        for i, a in enumerate(found)
        for j, b in enumerate(found[:i])
        if boxes[i].width and boxes[j].width and boxes[i].padded(-1).overlaps(boxes[j].padded(-1))
    ]
    assert not clashes


@pytest.mark.parametrize("config", [Config(1, 1), Config(3, 2), Config(8, 3), variant(Config(3, 2), "basic")])
def test_networks_are_drawn_from_the_configuration(config):
    shown = texts(schematics.network(config))
    assert sum(text.startswith("memory\nblock") for text in shown) == config.blocks
    assert ("$y_{1}$" in shown) == config.multi_supervised
    assert f"$B_{{{config.blocks}}}$" in shown


def test_the_memory_block_shows_what_its_gate_takes():
    config = Config(3, 4)
    shown = texts(schematics.structures(PlainConfig(3), PlainConfig(3, skip=True), config))
    assert all(f"$H^{{{r}}}$" in shown for r in range(1, 5))
    assert {"$B_{0}$", "$B_{1}$", "$B_{2}$", "$B_{3}$"} <= set(shown)
    alone = texts(schematics.structures(PlainConfig(3), PlainConfig(3, skip=True), variant(config, "NL")))
    assert "$B_{0}$" not in alone


def test_skip_connections_are_as_many_as_in_the_network():
    def arcs(config):
        axes = Figure().subplots()
        schematics.draw_plain(axes, config, 4.0, "")
        return sum(line.get_color() == style.GREEN for line in axes.lines)

    assert [arcs(PlainConfig(layers, skip=True)) for layers in (1, 2, 5, 18)] == [0, 1, 2, 9]
    assert arcs(PlainConfig(18)) == 0


def test_memories_have_their_places_on_the_axis():
    figure = FIGURES["norms by memory"]()
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["$B_{0}$", "$B_{1}$", "$H^{1}$", "$H^{2}$"]
    assert [a.get_title() for a in figure.axes] == ["denoising-M6R6", "jpeg-M6R6"]


def test_long_term_memory_ends_at_the_dot_of_a_curve():
    axes = FIGURES["fig. 5"]().axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [4, 8]  # C m maps of the long-term memories
    assert [len(line.get_xdata()) for line in axes.lines[::3]] == map_counts(TINY)


def test_fig_5_needs_each_kind_of_memory():
    config = variant(TINY, "NL")
    v = [np.ones(8), np.arange(8.0)]
    with pytest.raises(ValueError, match="no long-term ones"):
        gate_plots.gate_norms({"sr": v}, {"sr": gates.memory_norms(v, config)}, config)


def test_scores_and_box_are_those_given():
    figure = draw_qualitative()
    assert "input\n28.13 dB / 0.8123" in texts(figure)
    whole = figure.axes[0]
    assert whole.patches[0].get_bbox().bounds == (9.5, 4.5, 16, 20)
    assert figure.axes[1].images[0].get_array().shape == (20, 16)
    with pytest.raises(ValueError, match="leaves the image of"):
        result_plots.qualitative(some_images(), area=(30, 10, 20, 16), scores={})


@pytest.mark.parametrize("name", [name for item in ITEMS.values() for name in item.writes if re.match(r"fig\d", name)])
def test_the_function_that_draws_a_figure_names_its_file(name):
    if not list(paths.FIGURES.glob(f"*/{name}.png")):
        pytest.skip(f"{name} is a table")
    modules = (schematics, spectra_plots, gate_plots, result_plots)
    first_lines = [
        (function.__doc__ or "").partition("\n")[0]
        for module in modules
        for function in vars(module).values()
        if getattr(function, "__module__", "") == module.__name__
    ]
    assert len([line for line in first_lines if re.search(rf"\b{name}\b", line)]) == 1


def test_claims_stand_under_their_panels():
    shown = texts(draw_differences())
    assert sum(text.endswith(("supported", "undecided")) for text in shown) == 8  # of two sets
    assert "(1)  NL4 − NL6" in shown


def test_jupyter_can_show_a_figure_without_pyplot():
    assert result_plots.bars(pd.Series({"a": 1.0}), "dB")._repr_png_().startswith(b"\x89PNG")


def test_pdf_and_svg_can_be_written_with_the_same_bytes():
    def written(kind, **metadata):
        buffer = BytesIO()
        schematics.network(TINY).savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()

    assert written("pdf", CreationDate=None) == written("pdf", CreationDate=None)
    assert written("svg", Date=None) == written("svg", Date=None)
