"""The explorer: its scenes, one memory left out, uploads, controls and views."""

import asyncio
import base64
import io
import re
import time
from copy import deepcopy
from datetime import UTC, datetime

import nbformat
import numpy as np
import pytest
import torch
from nbconvert.preprocessors import TagRemovePreprocessor
from PIL import Image
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

from memnet import paths
from memnet.network.folded import InferenceNet
from memnet.publishing import widgets
from memnet.publishing.schematics import Drawing
from memnet.restoration import tiling
from memnet.study import explorer, gates, registry, walkthrough
from memnet.study.explorer import Scene


def picture_file(shape, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def scene(tiny_runs):
    """A scene of a tiny untrained network of two blocks and two recursions; the caches do not outlive it."""
    yield Scene("camera", "denoising-M6R6", 30, block=2)
    cached = "network_of", "inference_of", "forward_pass", "restored", "maps_of"
    for name in cached:
        getattr(explorer, name).cache_clear()
    explorer.uploads.clear()


@pytest.fixture
def computed(monkeypatch):
    """The names of the work that is done while it is there, in order: blocks, recursions and figures."""
    work = []

    def counted(owner, name, note):
        original = getattr(owner, name)

        def call(self, *args, **kwargs):
            work.append(note(*args))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted(InferenceNet, "block", lambda number, *_: f"block {number + 1}")
    counted(gates.Ablations, "source", lambda m, place: f"memory {place} of gate {m}")
    counted(Drawing, "savefig", lambda *_: "figure")
    return work


def test_a_memory_left_out_changes_the_result_as_zero_weights_do(scene):
    arrays, _ = explorer.restored(scene._replace(without="B1"))
    network = deepcopy(explorer.network_of(scene.run))
    with torch.no_grad():
        network.blocks[1].gate_unit[-1].weight[:, 4:8] = 0  # B0, B1, H1, H2 of 4 channels each
    y, y_m = tiling.predict(network, arrays["input"])
    for name, image in {"$y_1$": y_m[0], "$y_2$": y_m[1], "$y$": y}.items():
        np.testing.assert_allclose(arrays[name], image, rtol=0, atol=1e-5)
    assert not np.allclose(arrays["$y$"], explorer.restored(scene)[0]["$y$"], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="gate 1 has no memory 'B1': choose one of B0, H1, H2"):
        explorer.restored(scene._replace(block=1, without="B1"))


def test_the_maps_are_those_of_the_memory_that_enters_the_gate(scene):
    arrays, _ = explorer.restored(scene)
    entering = walkthrough.gate_memories(explorer.network_of(scene.run), arrays["input"], 2).split(4, dim=1)
    for place, name in enumerate(("B0", "B1", "H1", "H2")):
        wanted = walkthrough.feature_maps([entering[place]], count=8)
        found = explorer.maps_of(scene, name)
        assert [f"$B_0$, {channel}" for channel in found] == list(wanted)
        for image, like in zip(found.values(), wanted.values(), strict=True):
            np.testing.assert_allclose(image, like, rtol=0, atol=1e-4)


def test_each_block_is_computed_once_and_only_those_after_a_changed_gate_again(scene, computed):
    explorer.restored(scene)
    assert computed == ["block 1", "block 2"]
    for memory, block in (("B0", 1), ("H1", 1), ("H2", 2)):  # to look at memories needs no block
        explorer.maps_of(scene._replace(block=block), memory)
    assert computed[2:] == ["memory 0 of gate 1", "memory 1 of gate 1", "memory 3 of gate 2"]
    explorer.restored(scene._replace(block=1, without="B0"))
    assert computed[5:] == ["memory 0 of gate 1", "block 2"]
    explorer.restored(scene._replace(block=2, without="B0"))
    assert computed[7:] == ["memory 0 of gate 2"]


def test_images_are_shown_before_the_figure_is_drawn_and_nothing_else_is_drawn(scene, computed):
    panel = widgets.Explorer(scene)
    for number, drawn in ((1, []), (2, ["figure"]), (3, ["figure"])):
        computed.clear()
        panel.tabs.selected_index = number
        assert computed == drawn, panel.VIEWS[number]
    panel.pages[3].observe(lambda change: computed.append("images"), "value")
    computed.clear()
    panel.off.value = True
    assert computed == ["memory 0 of gate 2", "images", "figure"]
    computed.clear()
    panel.block.value = 1
    assert computed == [*["memory 0 of gate 1"] * 2, "block 2", "images", "figure"]  # maps, and what it adds


def test_what_is_wrong_with_an_upload_is_one_sentence_with_the_files_name(scene):
    assert explorer.add_upload("mine.png", picture_file((200, 150, 3))) == "mine.png"
    assert explorer.uploads["mine.png"].shape == (96, 96)
    assert explorer.image_names()[-1] == "mine.png"
    for name, content in (("text.png", b"no image"), ("empty.png", b""), ("small.png", picture_file((8, 90)))):
        with pytest.raises(ValueError, match=rf"^{name}: [^\n/]+$"):
            explorer.add_upload(name, content)


def test_unknown_images_and_runs_without_blocks_are_refused(scene):
    with pytest.raises(ValueError, match="unknown image 'lena': choose one of astronaut"):
        explorer.restored(scene._replace(image="lena"))
    with pytest.raises(ValueError, match="sr-plain has no weights, or no prediction for each block"):
        explorer.restored(scene._replace(run="sr-plain"))


def test_the_slider_has_both_images_and_a_still_one(scene):
    before, after = np.zeros((4, 6)), np.ones((4, 6))
    bundle = widgets.BeforeAfter(before, after, ("<in>", "out"))._repr_mimebundle_()
    assert bundle["text/html"].count("data:image/png;base64,") == 2
    assert "&lt;in&gt;" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]  # JupyterLab would drop it
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))
    assert (still[:, :12].max(), still[:, 12:].min(), still.shape) == (0, 255, (16, 24))


def test_the_zoom_has_all_images_and_a_still_one(scene):
    shades = {"input": np.zeros((4, 6)), "y": np.full((4, 6), 0.5), "<original>": np.ones((4, 6))}
    bundle = widgets.LinkedZoom(shades)._repr_mimebundle_()
    assert bundle["text/html"].count("data:image/png;base64,") == 3
    assert "&lt;original&gt;" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))
    assert (still.shape, still[:, :24].max(), still[:, 48:].min()) == ((16, 72), 0, 255)


def test_another_upload_of_the_same_name_is_another_image(scene):
    mine = scene._replace(image="mine.png")
    explorer.add_upload("mine.png", picture_file((40, 40)))
    before = explorer.restored(mine)[0]["original"]
    explorer.add_upload("mine.png", picture_file((60, 60)))
    assert explorer.restored(mine)[0]["original"].shape == (60, 60) != before.shape


def test_of_quick_changes_only_the_last_is_drawn_and_the_loop_goes_on_meanwhile(scene, monkeypatch):
    panel, drawn, beats = widgets.Explorer(scene), [], []
    monkeypatch.setattr(panel, "draw", lambda number, shown, began: drawn.append(shown))
    monkeypatch.setattr(panel, "prepare", lambda number, shown: time.sleep(0.3))

    async def change():
        for level in (70, 50, 70):
            panel.level.value = level
        while not drawn:
            await asyncio.sleep(0.02)
            beats.append(panel.message.value)

    asyncio.run(change())
    assert [shown.level for shown in drawn] == [70]
    assert sum("working" in message for message in beats) > 3


def test_of_another_run_the_whole_network_is_shown_before_the_one_without_a_memory(scene, computed):
    panel = widgets.Explorer(scene)
    panel.tabs.selected_index = 3
    panel.off.value = True
    panel.pages[3].observe(lambda change: computed.append("images"), "value")
    computed.clear()

    async def change(control, value):
        control.value = value
        await panel.drawing

    asyncio.run(change(panel.level, 50))
    whole = ["block 1", "block 2", "memory 0 of gate 2", "images", "figure"]
    assert computed == [*whole, "memory 0 of gate 2", "images", "figure"]
    computed.clear()
    asyncio.run(change(panel.memory, "B1"))  # nothing but the gate changes
    assert [work for work in computed if "memory" not in work] == ["images", "figure"]
    computed.clear()
    asyncio.run(change(panel.off, False))
    assert computed == ["images", "figure"]


def test_every_view_is_drawn_when_it_is_opened_and_has_a_still_twin(scene):
    panel = widgets.Explorer(scene)
    assert ["data:image" in page.value for page in panel.pages] == [True, False, False, False]
    assert {figure.layout.display for figure in panel.figures} == {"none"}  # not a broken image
    for number, images, figure in ((1, 6, False), (2, 0, True), (3, 6, True)):
        panel.tabs.selected_index = number
        assert panel.pages[number].value.count("data:image") == images
        assert bytes(panel.figures[number].value).startswith(b"\x89PNG") == figure
        assert (panel.figures[number].layout.display is None) == figure
    bundle = panel._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(bundle)


def test_controls_redraw_and_bring_each_others_choices(scene):
    panel = widgets.Explorer(scene)
    before = panel.pages[0].value
    panel.level.value = 70
    assert panel.pages[0].value != before
    panel.task.value = "super-resolution"
    assert panel.run.value == registry.main_run("super-resolution")
    assert (panel.level.options, panel.scene.level) == ((2, 3, 4), 3)
    assert "sr-M6R6 at 3" in panel.message.value
    panel.tabs.selected_index = 3
    panel.memory.value, whole = "B1", panel.pages[3].value
    panel.off.value = True
    assert panel.scene.without == "B1"
    assert panel.pages[3].value != whole
    panel.block.value = 1  # its gate has no B1
    assert panel.scene.without == "B0"


def test_a_bad_upload_leaves_the_image_and_says_why(scene):
    panel = widgets.Explorer(scene)
    before = panel.pages[0].value
    file = {"name": "notes.png", "type": "image/png", "size": 5, "content": memoryview(b"notes")}
    panel.upload.value = ({**file, "last_modified": datetime.now(UTC)},)
    assert "notes.png: " in panel.message.value
    assert (panel.image.value, panel.pages[0].value) == ("camera", before)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"level": 35}, "was trained for the levels"), ({"block": 9}, "blocks 1 to 2, got 9")],
)
def test_a_scene_that_cannot_be_shown_is_refused_in_one_sentence(scene, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        widgets.Explorer(scene._replace(**change))


def test_the_page_without_code_has_the_explorer_and_no_still_images():
    (value,) = re.findall(r"TagRemovePreprocessor.remove_cell_tags=(\S+)", (paths.ROOT / "Makefile").read_text())
    config = Config()
    config.TagRemovePreprocessor.remove_cell_tags = DeferredConfigString(value)  # as from a command line
    book = nbformat.read(paths.NOTEBOOKS / "17_explorer.ipynb", as_version=4)
    shown, _ = TagRemovePreprocessor(config=config).preprocess(book, {})
    text = "\n".join(cell.source for cell in shown.cells)
    assert "widgets.Explorer(" in text
    for words in ("## Before and after", "widgets.before_after", ".ipynb", "Run All Cells", "Summary"):
        assert words not in text
