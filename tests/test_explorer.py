"""The explorer: its scenes, one memory left out, uploads, controls and views."""

import asyncio
import base64
import io
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image

from memnet.publishing import widgets
from memnet.study import explorer, registry
from memnet.study.explorer import Scene


def picture_file(shape, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def scene(tiny_runs):
    """A scene of a tiny untrained network of two blocks and two recursions; the caches do not outlive it."""
    yield Scene("camera", "denoising-M6R6", 30, block=2)
    for cached in (explorer.network_of, explorer.restored, explorer.memories_of):
        cached.cache_clear()
    explorer.uploads.clear()


def test_a_memory_left_out_changes_the_result_as_zero_weights_do(scene):
    network = explorer.network_of(scene.run)
    other = explorer.without_memory(network, 2, "B1")
    weight = network.blocks[1].gate_unit[-1].weight.detach().clone()
    weight[:, 4:8] = 0  # B0, B1, H1, H2 of 4 channels each
    assert torch.equal(other.blocks[1].gate_unit[-1].weight, weight)
    whole, without = (explorer.restored(s)[0]["$y$"] for s in (scene, scene._replace(without="B1")))
    assert not np.array_equal(whole, without)
    with pytest.raises(ValueError, match="gate 1 has no memory 'B1': choose one of B0, H1, H2"):
        explorer.without_memory(network, 1, "B1")


def test_what_is_wrong_with_an_upload_is_one_sentence_with_the_files_name(scene):
    assert explorer.add_upload("mine.png", picture_file((200, 150, 3))) == "mine.png"
    assert explorer.uploads["mine.png"].shape == (128, 128)
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
    assert (still[:, :9].max(), still[:, 9:].min(), still.shape) == (0, 255, (12, 18))


def test_the_zoom_has_all_images_and_a_still_one(scene):
    shades = {"input": np.zeros((4, 6)), "y": np.full((4, 6), 0.5), "<original>": np.ones((4, 6))}
    bundle = widgets.LinkedZoom(shades)._repr_mimebundle_()
    assert bundle["text/html"].count("data:image/png;base64,") == 3
    assert "&lt;original&gt;" in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    still = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))
    assert (still.shape, still[:, :18].max(), still[:, 36:].min()) == ((12, 54), 0, 255)


def test_another_upload_of_the_same_name_is_another_image(scene):
    mine = scene._replace(image="mine.png")
    explorer.add_upload("mine.png", picture_file((40, 40)))
    before = explorer.restored(mine)[0]["original"]
    explorer.add_upload("mine.png", picture_file((60, 60)))
    assert explorer.restored(mine)[0]["original"].shape == (60, 60) != before.shape


def test_of_quick_changes_only_the_last_is_drawn_and_the_loop_goes_on_meanwhile(scene, monkeypatch):
    panel, drawn, beats = widgets.Explorer(scene), [], []
    monkeypatch.setattr(panel, "draw", lambda began: drawn.append(panel.scene))
    monkeypatch.setattr(panel, "prepare", lambda: time.sleep(0.3))

    async def change():
        for level in (70, 50, 70):
            panel.level.value = level
        while not drawn:
            await asyncio.sleep(0.02)
            beats.append(panel.message.value)

    asyncio.run(change())
    assert [shown.level for shown in drawn] == [70]
    assert sum("working" in message for message in beats) > 3


def test_every_view_is_drawn_when_it_is_opened_and_has_a_still_twin(scene):
    panel = widgets.Explorer(scene)
    seen = [picture.value for picture in panel.pictures]
    assert ["data:image" in seen[0], *seen[1:]] == [True, b"", b"", b""]
    assert {picture.layout.display for picture in panel.pictures[1:]} == {"none"}  # not a broken image
    for number in (1, 2, 3):
        panel.tabs.selected_index = number
        assert bytes(panel.pictures[number].value).startswith(b"\x89PNG")
        assert panel.pictures[number].layout.display is None
    bundle = panel._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(bundle)


def test_controls_redraw_and_bring_each_others_choices(scene):
    panel = widgets.Explorer(scene)
    before = panel.pictures[0].value
    panel.level.value = 70
    assert panel.pictures[0].value != before
    panel.task.value = "super-resolution"
    assert panel.run.value == registry.main_run("super-resolution")
    assert (panel.level.options, panel.scene.level) == ((2, 3, 4), 3)
    assert "sr-M6R6 at 3" in panel.message.value
    panel.tabs.selected_index = 3
    panel.memory.value, whole = "B1", panel.pictures[3].value
    panel.off.value = True
    assert panel.scene.without == "B1"
    assert panel.pictures[3].value != whole
    panel.block.value = 1  # its gate has no B1
    assert panel.scene.without == "B0"


def test_a_bad_upload_leaves_the_image_and_says_why(scene):
    panel = widgets.Explorer(scene)
    before = panel.pictures[0].value
    file = {"name": "notes.png", "type": "image/png", "size": 5, "content": memoryview(b"notes")}
    panel.upload.value = ({**file, "last_modified": datetime.now(UTC)},)
    assert "notes.png: " in panel.message.value
    assert (panel.image.value, panel.pictures[0].value) == ("camera", before)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"level": 35}, "was trained for the levels"), ({"block": 9}, "blocks 1 to 2, got 9")],
)
def test_a_scene_that_cannot_be_shown_is_refused_in_one_sentence(scene, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        widgets.Explorer(scene._replace(**change))
