"""JupyterLab in a real browser: notebooks run to the end, controls work, a training is stopped and goes on."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from memnet import paths

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: run `make test-browser`")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: `apt-get install chromium`"),
]
READY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
COUNTS = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
  return Array.from({length: cells.length}, (_, i) => cells.get(i))
    .filter((cell) => cell.type === 'code').map((cell) => [cell.executionCount, cell.outputs.toJSON()]);
}"""
BUSY = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status !== 'idle'"
SETTINGS = {"windowingMode": "none"}  # the whole notebook is in the page, to be photographed
START_SECONDS, RUN_SECONDS = 200, 900
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on copies of the notebooks, with settings and workspaces of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(paths.NOTEBOOKS, home / "notebooks")
    train = home / "notebooks" / "18_train.ipynb"
    source = (
        train.read_text()
        .replace('\\"mine\\"', f'\\"{home}/mine\\"')
        .replace("minutes: float = 1.0", "minutes: float = 3.0")
    )
    train.write_text(source)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    tracker = home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps(SETTINGS))
    (home / "defaults").mkdir()
    shutil.copy(paths.ROOT / "binder" / "overrides.json", home / "defaults")
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    folders |= {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(home / folder) for name, folder in folders.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(paths.ROOT), os.environ.get("PYTHONPATH"))))
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--ServerApp.allow_root=True"]
    options += [
        f"--LabApp.app_settings_dir={home / 'defaults'}",
        "--no-browser",
        "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={home / 'notebooks'}",
    ]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token={token}", server, home / "log")
        yield lambda notebook: f"{address}/lab/tree/{notebook}?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, server, log):
    """Wait until the server answers; fail with its log when it ends or does not in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(log.read_text())


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(lab, browser):
    """A function that opens a notebook in a theme: its page, with a kernel, and nothing run yet."""
    pages = []

    def opened(notebook, theme="light"):
        page = browser.new_page(viewport={"width": 1300, "height": 1600})
        pages.append(page)
        page.set_default_timeout(1000 * START_SECONDS)
        page.goto(lab(notebook))
        page.wait_for_selector(".jp-Notebook")
        page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
        page.evaluate(READY)
        command(page, "apputils:change-theme", theme=THEMES[theme])
        page.wait_for_selector(f"body[data-jp-theme-light={'true' if theme == 'light' else 'false'}]", state="attached")
        return page

    yield opened
    for page in pages:
        page.close()


def command(page, name, **arguments):
    """Start a command of JupyterLab; its end is not awaited."""
    page.evaluate("([name, args]) => { window.jupyterapp.commands.execute(name, args); }", [name, arguments])


def run_all(page):
    """Run all cells to the end; fails when one has an error, a warning, or writes to stderr."""
    command(page, "notebook:run-all-cells")
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        cells = page.evaluate(COUNTS)
        check_outputs(cells)
        if all(count for count, _ in cells) and not page.evaluate(BUSY):
            return page
        time.sleep(1)
    raise AssertionError(f"the notebook did not end in {RUN_SECONDS} s: {[count for count, _ in cells]}")


def check_outputs(cells):
    """No error, nothing on stderr and no warning among the outputs of cells (execution count, outputs)."""
    for output in (output for _, outputs in cells for output in outputs):
        assert output["output_type"] != "error", output
        assert output.get("name") != "stderr", output
        assert "Warning" not in str(output.get("text", "")), output


def keep(page, name):
    """A screenshot of the whole notebook to look at, in build/browser/."""
    folder = paths.BUILD / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-WindowedPanel-outer").first.evaluate("panel => { panel.scrollTop = 0; }")
    bottom = page.locator(".jp-Cell").last.evaluate("cell => cell.getBoundingClientRect().bottom")
    page.set_viewport_size({"width": 1300, "height": int(bottom) + 100})
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / f"{name}.png")


@pytest.mark.parametrize("theme", THEMES)
def test_the_start_notebook_runs_to_the_end(open_notebook, theme):
    page = run_all(open_notebook("01_start.ipynb", theme))
    assert not page.get_by_text("Jupyter news").count()  # no question before the first sentence
    keep(page, f"start-{theme}")


def said(page, text):
    """Wait until the sentence above the explorer's views has that text; the sentence."""
    line = page.locator(".jupyter-widgets i", has_text=text).first
    line.wait_for()
    return line.inner_text()


@pytest.mark.parametrize("theme", THEMES)
def test_the_explorers_slider_zoom_and_controls_change_the_image(open_notebook, theme):
    page = run_all(open_notebook("17_explorer.ipynb", theme))
    live = page.locator(".jupyter-widgets .before-after").first
    live.scroll_into_view_if_needed()
    keep(page, f"explorer-{theme}")
    move = "s => { s.value = %d; s.dispatchEvent(new Event('input', {bubbles: true})); }"
    top = live.locator("img").nth(1)
    before = top.evaluate("image => image.style.clipPath")
    live.locator("input").evaluate(move % 80)
    assert top.evaluate("image => image.style.clipPath") != before
    zoomed = page.locator(".jupyter-widgets .linked-zoom").first
    sizes = "zoom => [...zoom.querySelectorAll('img')].map(image => image.getBoundingClientRect().width)"
    before = zoomed.evaluate(sizes)
    zoomed.locator("input").evaluate(move % 6)
    after = zoomed.evaluate(sizes)
    assert len(after) == 3
    assert all(wide > 1.9 * narrow for wide, narrow in zip(after, before, strict=True))
    source = top.get_attribute("src")
    page.locator(".jupyter-widgets select").first.select_option("camera")
    page.wait_for_function(
        "s => document.querySelectorAll('.jupyter-widgets .before-after img')[1].src !== s", arg=source
    )
    print(theme, said(page, "camera, sr-M6R6 at 3"))
    for view in ("predictions", "spectrum", "memory"):
        page.get_by_role("tab", name=view).click()
        shown = ".linked-zoom img" if view == "predictions" else "img.widget-image"
        page.locator(f".jupyter-widgets {shown}:visible").first.wait_for()
        page.wait_for_timeout(3000)
        sizes = "images => images.map(image => [image.clientWidth, image.naturalWidth])"
        widths = page.locator(".jupyter-widgets img.widget-image:visible").evaluate_all(sizes)
        assert all(shown <= own for shown, own in widths), widths  # never blown up
        print(theme, view, said(page, "camera, sr-M6R6 at 3"))
        keep(page, f"explorer-{view}-{theme}")
    check_outputs(page.evaluate(COUNTS))


def upload(page, file):
    """Choose a file behind the button *your own*."""
    with page.expect_file_chooser() as chooser:
        page.locator("button.widget-upload").first.click()
    chooser.value.set_files(file)


def test_a_bad_upload_is_one_sentence_and_a_good_one_is_shown(open_notebook, tmp_path):
    page = run_all(open_notebook("17_explorer.ipynb"))
    (tmp_path / "notes.png").write_text("no image")
    upload(page, tmp_path / "notes.png")
    assert said(page, "notes.png").count(".") <= 2
    shutil.copy(next((paths.ROOT / "figures" / "embedded").glob("start.png")), tmp_path / "mine.png")
    upload(page, tmp_path / "mine.png")
    said(page, "mine.png, sr-M6R6 at 3")
    check_outputs(page.evaluate(COUNTS))
    keep(page, "explorer-upload")


def training_text(page):
    """What the cell that trains shows."""
    outputs = [outputs for _, outputs in page.evaluate(COUNTS)]
    return "".join(
        f"{list(o.get('data', {}))} {o.get('data', {}).get('text/html')} {o.get('text')}" for o in outputs[3]
    )


def wait_for_training(page, text):
    """Wait until the cell that trains says `text`."""
    until = time.monotonic() + RUN_SECONDS
    while text not in training_text(page):
        check_outputs(page.evaluate(COUNTS))
        assert time.monotonic() < until, f"{text!r} is not in {training_text(page)!r}"
        time.sleep(0.5)


def wait_until_idle(page):
    page.wait_for_function(f"() => !({BUSY})()", timeout=1000 * RUN_SECONDS)


def test_a_training_is_stopped_goes_on_after_a_restart_and_ends(open_notebook):
    page = open_notebook("18_train.ipynb")
    command(page, "notebook:run-all-cells")
    wait_for_training(page, "image/png")  # the first curve
    command(page, "notebook:interrupt-kernel")
    wait_for_training(page, "stopped at step")
    wait_until_idle(page)
    check_outputs(page.evaluate(COUNTS))
    stopped = training_text(page)
    keep(page, "train-stopped")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.evaluate(READY)
    run_all(page)
    assert "goes on" not in training_text(page)  # it has ended
    assert training_text(page) != stopped
    keep(page, "train-light")
    command(page, "apputils:change-theme", theme=THEMES["dark"])
    keep(page, "train-dark")
    ended = "are done" in training_text(page)
    run_all(page)
    assert ("so nothing is trained" in training_text(page)) == ended
