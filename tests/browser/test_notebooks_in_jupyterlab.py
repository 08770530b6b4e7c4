"""JupyterLab in a real browser: the start and the explorer notebook run to the end, a slider moves, images change."""

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
START_SECONDS, RUN_SECONDS = 120, 400


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on copies of the notebooks, with settings and workspaces of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(paths.NOTEBOOKS, home / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    folders |= {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(home / folder) for name, folder in folders.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(paths.ROOT), os.environ.get("PYTHONPATH"))))
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--ServerApp.allow_root=True"]
    options += ["--no-browser", "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={home / 'notebooks'}"]
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


def run_all(browser, address):
    """The page of a notebook whose cells have all been run; fails when one has an error or writes to stderr."""
    page = browser.new_page(viewport={"width": 1300, "height": 1600})
    page.set_default_timeout(1000 * START_SECONDS)
    page.goto(address)
    page.wait_for_selector(".jp-Notebook")
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate(READY)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        cells = page.evaluate(COUNTS)
        outputs = [output for _, outputs in cells for output in outputs]
        noise = [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
        assert not noise, noise[0]
        if all(count for count, _ in cells):
            return page
        time.sleep(1)
    raise AssertionError(f"the notebook did not end in {RUN_SECONDS} s: {[count for count, _ in cells]}")


def keep(page, name):
    """A screenshot to look at, in build/browser/."""
    folder = paths.BUILD / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def test_the_start_notebook_runs_to_the_end(lab, browser):
    page = run_all(browser, lab("01_start.ipynb"))
    keep(page, "start")
    page.close()


def test_the_explorers_slider_and_controls_change_the_image(lab, browser):
    page = run_all(browser, lab("17_explorer.ipynb"))
    live = page.locator(".jupyter-widgets .before-after").first
    live.scroll_into_view_if_needed()
    keep(page, "explorer")
    top = live.locator("img").nth(1)
    before = top.evaluate("image => image.style.clipPath")
    live.locator("input").evaluate("s => { s.value = 80; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    assert top.evaluate("image => image.style.clipPath") != before
    source = top.get_attribute("src")
    page.locator(".jupyter-widgets select").first.select_option("camera")
    page.wait_for_function(
        "s => document.querySelectorAll('.jupyter-widgets .before-after img')[1].src !== s", arg=source
    )
    keep(page, "explorer-camera")
    page.get_by_role("tab", name="memory").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jupyter-widgets img.widget-image')].some(i => i.width)"
    )
    page.wait_for_timeout(3000)
    keep(page, "explorer-memory")
    page.close()
