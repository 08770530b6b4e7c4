"""Figures: every kind is drawn without a warning, on white, legibly, and twice the same."""

from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from memnet.network.model import PRESETS, Config, StackConfig, variant
from memnet.publishing import plots, printed, result_plots, schematics, style
from memnet.study import analysis, gates, spectra

TINY = Config(blocks=2, recursions=2, channels=4)


def png(figure, **options):
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=60, **options)
    return buffer.getvalue()


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def random_densities(circles=16):
    rng = np.random.default_rng(0)
    names = ("Mem4", "Mem6", "NL4", "NL6")
    return {name: np.exp(-np.linspace(0, 9, circles + 1)) * rng.random((3, circles + 1)) for name in names}


def draw_differences():
    found = {p: analysis.interval(d) for p, d in spectra.spectral_differences(random_densities()).items()}
    one = {pair: difference[0] for pair, difference in spectra.spectral_differences(random_densities()).items()}
    return plots.spectral_differences(found, spectra.claims(random_densities()), one)


def random_norms(config):
    rng = np.random.default_rng(0)
    return [rng.random(len(config.gate_sources(m)) * config.channels) for m in range(1, config.blocks + 1)]


def draw_gates():
    norms = {task: random_norms(TINY) for task in ("denoising", "jpeg")}
    return plots.gate_norms(norms, TINY, {task: gates.memory_norms(v, TINY) for task, v in norms.items()})


def draw_points():
    points = printed.fig6().assign(origin="paper")
    ours = points.iloc[2:].assign(origin="ours", seconds=[np.nan, 1.0, 1.0, 2.0])
    return result_plots.psnr_against_parameters(pd.concat([points, ours]), "Set5, x3")


def some_images():
    gray = np.random.default_rng(0).random((40, 50))
    return {"original": gray, "input": gray**2, "bright": 1.2 * gray, "uint8": (255 * gray).astype(np.uint8)}


def draw_qualitative():
    return result_plots.qualitative(
        some_images(), area=(5, 10, 20, 16), scores={"input": (28.126, 0.81234)}, title="a picture"
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


FIGURES = {
    "structures": lambda: schematics.structures(PRESETS["plain"], PRESETS["skip"], PRESETS["M6R6"]),
    "basic": lambda: schematics.network(variant(PRESETS["M6R6"], "basic")),
    "multi-supervised": lambda: schematics.network(PRESETS["M6R6"]),
    "without long-term memory": lambda: schematics.network(variant(PRESETS["M4R6"], "NL")),
    "spectra": lambda: plots.spectra({name: d[0] for name, d in random_densities().items()}, title="a picture"),
    "spectra beside the original": lambda: plots.spectra(
        {"original": np.ones(9), "Mem6": np.full(9, 0.5)},
        {"this picture": {"original": np.zeros(9), "Mem6": np.full(9, -3)}, "mean": {"Mem6": np.full(9, -2)}},
        title="a picture",
    ),
    "differences": draw_differences,
    "gates": draw_gates,
    "many gates": lambda: plots.gate_norms({"jpeg": random_norms(Config(9, 2, 2))}, Config(9, 2, 2)),
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


@pytest.mark.parametrize("name", ["structures", "basic", "multi-supervised", "differences", "gates"])
def test_no_text_lies_on_another(name):
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
    shown = texts(schematics.structures(StackConfig(3), StackConfig(3, skip=True), config))
    assert all(f"$H^{{{r}}}$" in shown for r in range(1, 5))
    assert {"$B_{0}$", "$B_{1}$", "$B_{2}$", "$B_{3}$"} <= set(shown)
    alone = texts(schematics.structures(StackConfig(3), StackConfig(3, skip=True), variant(config, "NL")))
    assert "$B_{0}$" not in alone


def test_skip_connections_are_as_many_as_in_the_network():
    def arcs(config):
        axes = Figure().subplots()
        schematics.draw_stack(axes, config, 4.0, "")
        return sum(line.get_color() == style.GREEN for line in axes.lines)

    assert [arcs(StackConfig(layers, skip=True)) for layers in (1, 2, 5, 18)] == [0, 1, 2, 9]
    assert arcs(StackConfig(18)) == 0


def test_gate_curves_have_their_memories_on_the_axis():
    figure = draw_gates()
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["$B_{0}$", "$B_{1}$", "$H^{1}$", "$H^{2}$"]
    assert [a.get_title() for a in figure.axes] == ["denoising", "jpeg"]


def test_scores_and_box_are_those_given():
    figure = draw_qualitative()
    assert "input\n28.13 dB / 0.8123" in texts(figure)
    whole = figure.axes[0]
    assert whole.patches[0].get_bbox().bounds == (9.5, 4.5, 16, 20)
    assert figure.axes[1].images[0].get_array().shape == (20, 16)
    with pytest.raises(ValueError, match="leaves the picture of"):
        result_plots.qualitative(some_images(), area=(30, 10, 20, 16))


def test_claims_stand_under_their_panels():
    shown = texts(draw_differences())
    assert sum(text.endswith("supported") for text in shown) == 4
    assert "NL4 − NL6" in shown


def test_jupyter_can_show_a_figure_without_pyplot():
    assert result_plots.bars(pd.Series({"a": 1.0}), "dB")._repr_png_().startswith(b"\x89PNG")


def test_pdf_and_svg_can_be_written_with_the_same_bytes():
    def written(kind, **metadata):
        buffer = BytesIO()
        schematics.network(TINY).savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()

    assert written("pdf", CreationDate=None) == written("pdf", CreationDate=None)
    assert written("svg", Date=None) == written("svg", Date=None)
