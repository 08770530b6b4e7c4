"""The explorer: controls of ipywidgets above images that are drawn again, and a slider that needs no kernel."""

import asyncio
import base64
import io
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd
from PIL import Image

from memnet.protocol import images, tasks
from memnet.publishing import lesson_plots, plots
from memnet.publishing.schematics import Drawing
from memnet.study import explorer, registry, walkthrough
from memnet.study.explorer import Scene
from memnet.study.spectra import WINDOWS, decibels

ENLARGED = 4  # screen pixels for each pixel of an image
PAUSE = 0.15  # seconds without a change after which a view is drawn again


def data_uri(image: np.ndarray) -> str:
    """An image (H, W) as the address of a PNG that is in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png(image, 1)).decode()}"


def name_in_html(name: str) -> str:
    """The name of an image, such as $y_1$, as HTML."""
    return re.sub(r"_(\w+)", r"<sub>\1</sub>", escape(name.replace("$", ""))).replace("\n", "<br>")


def png(image: np.ndarray, enlarged: int = ENLARGED) -> bytes:
    """The PNG file of an image (H, W), float in [0, 1], enlarged without interpolation."""
    pixels = images.to_uint8(np.clip(image, 0, 1)).repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class BeforeAfter:
    """Two images of one shape (H, W) on top of each other, with a slider between them.

    In a browser it slides without a kernel; where HTML is not shown, a PNG has the left half of the one and the right
    half of the other.
    """

    def __init__(self, before: np.ndarray, after: np.ndarray, titles: tuple[str, str] = ("before", "after")):
        self.before, self.after, self.titles = before, after, titles

    def html(self) -> str:
        """The page's part: both images as data URIs and a range input that moves the border."""
        sources = [data_uri(image) for image in (self.before, self.after)]
        left, right = map(name_in_html, self.titles)
        shown = "width: 100%; image-rendering: pixelated"
        return f"""<div class="before-after" style="width: {ENLARGED * self.before.shape[1]}px; max-width: 100%">
<div style="position: relative">
<img src="{sources[0]}" alt="left" style="{shown}; display: block">
<img src="{sources[1]}" alt="right" style="{shown}; position: absolute; inset: 0; clip-path: inset(0 0 0 50%)">
</div>
<input type="range" min="0" max="100" value="50" aria-label="border between the images" style="width: 100%"
 oninput="this.parentNode.querySelectorAll('img')[1].style.clipPath = 'inset(0 0 0 ' + this.value + '%)'">
<div style="display: flex; justify-content: space-between"><span>{left}</span><span>{right}</span></div></div>"""

    def png(self) -> bytes:
        """The left half of the first image beside the right half of the second."""
        half = self.before.shape[1] // 2
        return png(np.concatenate([self.before[:, :half], self.after[:, half:]], axis=1))

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return {"text/html": self.html(), "image/png": base64.b64encode(self.png()).decode()}


FOLLOW = """const b = this.getBoundingClientRect(), s = this.closest('.linked-zoom').style;
s.setProperty('--x', 100 * (event.clientX - b.left) / b.width + '%');
s.setProperty('--y', 100 * (event.clientY - b.top) / b.height + '%')"""  # in HTML: no script is left in a notebook
SCALED = "width: 100%; display: block; image-rendering: pixelated; transform-origin: var(--x) var(--y)"


class LinkedZoom:
    """Images of one shape (H, W) in rows, by name: one slider enlarges all, around the pixel under the pointer.

    In a browser it works without a kernel; where HTML is not shown, a PNG has the images side by side.
    """

    def __init__(self, arrays: dict[str, np.ndarray], zoom: float = 3.0, columns: int = 3):
        self.arrays, self.zoom, self.columns = arrays, zoom, columns

    def html(self) -> str:
        """The page's part: each image as a data URI, and a range input for the enlargement."""
        panes = "".join(
            f"""<div><div style="overflow: hidden; cursor: crosshair" onpointermove="{FOLLOW}">
<img src="{data_uri(image)}" alt="" style="{SCALED}; transform: scale(var(--zoom))"></div>
<div style="line-height: 1.3">{name_in_html(name)}</div></div>"""
            for name, image in self.arrays.items()
        )
        width = ENLARGED * self.columns * next(iter(self.arrays.values())).shape[1]
        grid = f"display: grid; grid-template-columns: repeat({self.columns}, minmax(0, 1fr)); gap: 8px"
        return f"""<div class="linked-zoom" style="--zoom: {self.zoom:g}; --x: 50%; --y: 50%; max-width: {width}px">
<div style="{grid}">{panes}</div>
<label>zoom <input type="range" min="1" max="8" step="0.5" value="{self.zoom:g}"
 style="width: 40%; vertical-align: middle"
 oninput="this.closest('.linked-zoom').style.setProperty('--zoom', this.value)"></label></div>"""

    def png(self) -> bytes:
        """The images side by side, not enlarged further."""
        return png(np.concatenate(list(self.arrays.values()), axis=1))

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return {"text/html": self.html(), "image/png": base64.b64encode(self.png()).decode()}


def linked_zoom(scene: Scene) -> LinkedZoom:
    """Input, output and original of a scene, which are enlarged together."""
    arrays, _ = explorer.restored(scene)
    return LinkedZoom({"input": arrays["input"], "y": arrays["$y$"], "original": arrays["original"]})


def before_after(scene: Scene) -> BeforeAfter:
    """The degraded and the restored image of a scene, with their PSNR."""
    arrays, scores = explorer.restored(scene)
    left, right = (f"{name}, {scores[name][0]:.2f} dB" for name in ("input", "$y$"))
    return BeforeAfter(arrays["input"], arrays["$y$"], (left, right))


def without_and_with(scene: Scene) -> BeforeAfter:
    """The image restored without the memory that is off, and with all memories; where none is off, before and after."""
    if not scene.without:
        return before_after(scene)
    pairs = [explorer.restored(one) for one in (scene, scene._replace(without=""))]
    titles = f"without {scene.without}", "with all memories"
    left, right = (f"{title}, {scores['$y$'][0]:.2f} dB" for title, (_, scores) in zip(titles, pairs, strict=True))
    return BeforeAfter(*(arrays["$y$"] for arrays, _ in pairs), (left, right))


def all_images(scene: Scene) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Original, input, every y_m, y and the residual; PSNR and SSIM of those that have them."""
    arrays, scores = explorer.restored(scene)
    return arrays | {"$y - x$, times 4": explorer.residual(scene)}, scores


def predictions(scene: Scene) -> Drawing:
    """Original, input, every y_m and y with PSNR and SSIM, and the residual."""
    return plots.pictures(*all_images(scene), columns=5)


def spectrum(scene: Scene, window: str = "hann") -> Drawing:
    """The spectra of the input and of every prediction in dB against the original."""
    found = explorer.densities(scene, window)
    original = decibels(found.pop("original"))
    lines = {name: decibels(density) - original for name, density in found.items()}
    return lesson_plots.relative_spectra(lines, title=f"window: {window}")


def memory(scene: Scene, shown: str) -> Drawing:
    """Maps of a memory of the scene's block beside the norms of the gate, and what the memory that is off costs."""
    scores, whole = (explorer.restored(one)[1]["$y$"][0] for one in (scene, scene._replace(without="")))
    title = f"y with all memories: {whole:.2f} dB"
    if scene.without:
        title += f"; gate {scene.block} without {scene.without}: {scores:.2f} dB"
    maps, norms = explorer.maps_of(scene, shown), norms_of(scene)
    return lesson_plots.memory_panel(maps, norms, shown=shown, off=scene.without, block=scene.block, title=title)


def norms_of(scene: Scene) -> pd.Series:
    """The norms of the weights of the scene's gate, by memory."""
    network = explorer.network_of(scene.run)
    return walkthrough.gate_terms(network, {}, block=scene.block).set_index("memory").norm


class Explorer:
    """The controls and four views: before and after, predictions, spectrum, memory.

    Only the view that is open is drawn: its images first, in HTML, then its figure. The network runs beside the
    kernel's own loop, so controls can be moved meanwhile; of changes that follow each other quickly only the last is
    drawn. Where widgets are not shown, as in a page without a kernel, a PNG of the predictions takes their place.
    """

    VIEWS = ("before and after", "predictions", "spectrum", "memory")

    def __init__(self, scene: Scene, *, window: str = "hann", shown: str = "B0"):
        check_scene(scene, shown, window)
        self.busy, self.drawing = False, None
        task = registry.experiment(scene.run).task
        self.image = widgets.Dropdown(options=explorer.image_names(), value=scene.image, description="image")
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="your own")
        self.task = widgets.Dropdown(options=list(tasks.TASKS), value=task, description="task")
        self.run = widgets.Dropdown(options=explorer.runs_of(task), value=scene.run, description="run")
        self.level = widgets.SelectionSlider(options=levels_of(scene), value=scene.level, continuous_update=False)
        self.level.description = "level"
        self.window = widgets.Dropdown(options=list(WINDOWS), value=window, description="window")
        network = explorer.network_of(scene.run)
        blocks = range(1, network.config.blocks + 1)
        self.block = widgets.Dropdown(options=list(blocks), value=scene.block, description="block")
        self.memory = widgets.Dropdown(
            options=explorer.sources_of(explorer.network_of(scene.run), scene.block), value=shown, description="memory"
        )
        self.off = widgets.Checkbox(value=bool(scene.without), description="leave this memory out", indent=False)
        self.message = widgets.HTML()
        self.pages = [widgets.HTML() for _ in self.VIEWS]
        self.figures = [hidden_image() for _ in self.VIEWS]
        self.worker = ThreadPoolExecutor(max_workers=1)  # what waits there is cancelled by the next change
        self.tabs = widgets.Tab(children=self.panes(), titles=self.VIEWS)
        top = [widgets.HBox([self.image, self.upload]), widgets.HBox([self.task, self.run, self.level])]
        self.widget = widgets.VBox([*top, self.message, self.tabs])
        self.watch()
        self.draw(0, scene, time.perf_counter())

    def panes(self) -> list[widgets.Widget]:
        """What each tab holds: its own controls above its images and its figure."""
        gate = widgets.HBox([self.block, self.memory, self.off])
        controls = [[], [], [self.window], [gate]]
        return [widgets.VBox([*own, *views]) for own, *views in zip(controls, self.pages, self.figures, strict=True)]

    def watch(self) -> None:
        """Draw when a control changes; a task brings its runs, a run its levels, a block its memories."""
        self.upload.observe(self.take_upload, "value")
        self.task.observe(self.take_task, "value")
        self.run.observe(self.take_run, "value")
        self.block.observe(self.take_block, "value")
        for control in (self.image, self.level, self.window, self.memory, self.off):
            control.observe(self.changed, "value")
        self.tabs.observe(self.changed, "selected_index")

    @property
    def scene(self) -> Scene:
        """What the controls say."""
        off = self.memory.value if self.off.value else ""
        return Scene(self.image.value, self.run.value, self.level.value, self.block.value, off)

    def take_upload(self, change: dict) -> None:
        """Make an uploaded file the image that is shown, or say in one sentence what is wrong with it."""
        if not self.upload.value:
            return
        (file,) = self.upload.value
        try:
            name = explorer.add_upload(file["name"], bytes(file["content"]))
        except ValueError as error:
            self.say(str(error))
            return
        self.set(self.image, explorer.image_names(), name)
        self.changed()

    def take_task(self, change: dict) -> None:
        """Offer the runs of another task."""
        runs = explorer.runs_of(self.task.value)
        self.set(self.run, runs, runs[0])
        self.take_run(change)

    def take_run(self, change: dict) -> None:
        """Offer the levels and blocks of another run."""
        if self.busy:
            return
        levels = levels_of(self.scene)
        self.set(self.level, levels, levels[len(levels) // 2])
        blocks = range(1, explorer.network_of(self.run.value).config.blocks + 1)
        self.set(self.block, list(blocks), min(self.block.value, blocks[-1]))
        self.take_block(change)

    def take_block(self, change: dict) -> None:
        """Offer the memories of another block."""
        if self.busy:
            return
        sources = explorer.sources_of(explorer.network_of(self.run.value), self.block.value)
        self.set(self.memory, sources, self.memory.value if self.memory.value in sources else sources[0])
        self.changed()

    def set(self, control: widgets.Widget, options: list, value: object) -> None:
        """Give a control other options and a value without drawing in between."""
        self.busy = True
        try:
            control.options = options
            control.value = value
        finally:
            self.busy = False

    def changed(self, change: dict | None = None) -> None:
        """Draw the open view soon, in place of one that is still to be drawn."""
        if self.busy:
            return
        if self.drawing:
            self.drawing.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # outside a notebook nobody waits
            self.draw(self.tabs.selected_index or 0, self.scene, time.perf_counter())
            return
        self.drawing = loop.create_task(self.draw_later())

    async def draw_later(self) -> None:
        """Draw the open view after a pause; what takes long is done in another thread."""
        await asyncio.sleep(PAUSE)
        began = time.perf_counter()
        self.say("working ...")
        loop, number, scene = asyncio.get_running_loop(), self.tabs.selected_index or 0, self.scene
        steps = [scene._replace(without=""), scene] if scene[:3] != self.drawn[:3] else [scene]
        for step in dict.fromkeys(steps):  # of another image, run or level first what needs one forward pass
            with suppress(ValueError):  # `draw` says it
                await loop.run_in_executor(self.worker, self.prepare, number, step)
            self.draw(number, step, began)

    def prepare(self, number: int, scene: Scene) -> None:
        """Compute what a view shows, for `draw` to find."""
        explorer.restored(scene)
        if self.VIEWS[number] == "memory":
            explorer.restored(scene._replace(without=""))
            explorer.maps_of(scene, self.memory.value)

    def draw(self, number: int, scene: Scene, began: float) -> None:
        """Draw a view; the line above it says how long that took since `began`, or what is wrong."""
        self.drawn = scene
        try:
            self.pages[number].value = self.page(number, scene)
            if figure := self.figure(number, scene):
                self.figures[number].value = figure._repr_png_()
                self.figures[number].layout.display = None
        except ValueError as error:
            self.say(str(error))
            return
        self.say(f"{scene.image}, {scene.run} at {scene.level}: {time.perf_counter() - began:.1f} s")

    def page(self, number: int, scene: Scene) -> str:
        """The images of a view, as HTML: without a figure of matplotlib they are there at once."""
        match self.VIEWS[number]:
            case "before and after":
                return f"{before_after(scene).html()}<br>{linked_zoom(scene).html()}"
            case "predictions":
                arrays, scores = all_images(scene)
                captions = {plots.caption(name, scores): image for name, image in arrays.items()}
                return LinkedZoom(captions, zoom=1, columns=5).html()
            case "memory":
                maps = LinkedZoom(explorer.maps_of(scene, self.memory.value), zoom=1, columns=4)
                return side_by_side(without_and_with(scene).html(), maps.html())
            case _:
                return ""

    def figure(self, number: int, scene: Scene) -> Drawing | None:
        """The figure below the images of a view; None for a view that has none."""
        match self.VIEWS[number]:
            case "spectrum":
                return spectrum(scene, self.window.value)
            case "memory":
                shown = self.memory.value
                return lesson_plots.gate_norms(norms_of(scene), shown=shown, off=scene.without, block=scene.block)
            case _:
                return None

    def say(self, sentence: str) -> None:
        """Put a sentence above the views."""
        self.message.value = f"<i>{escape(sentence)}</i>"

    def _repr_mimebundle_(self, **kwargs) -> dict:
        still = base64.b64encode(predictions(self.scene)._repr_png_()).decode()
        return self.widget._repr_mimebundle_(**kwargs) | {"image/png": still}


def side_by_side(left: str, right: str) -> str:
    """Two parts of a page beside each other, in HTML; below each other where the page is narrow."""
    return f"""<div style="display: flex; flex-wrap: wrap; gap: 24px"><div style="flex: 0 0 auto">{left}</div>
<div style="flex: 1 1 380px; max-width: 820px">{right}</div></div>"""


def hidden_image() -> widgets.Image:
    """An image that is not shown yet: without content it would look broken."""
    own_size = widgets.Layout(display="none", align_self="flex-start")  # not as wide as the page
    return widgets.Image(format="png", layout=own_size)


def check_scene(scene: Scene, shown: str, window: str) -> None:
    """Raise ValueError, in one sentence, for a scene, a memory or a window that the controls cannot show."""
    explorer.densities(scene, window)
    explorer.maps_of(scene, shown)
    if scene.level not in levels_of(scene):
        raise ValueError(f"{scene.run} was trained for the levels {levels_of(scene)}, got {scene.level}")


def levels_of(scene: Scene) -> list[int]:
    """The levels that a scene's run was trained for."""
    return list(registry.experiment(scene.run).training_levels)
