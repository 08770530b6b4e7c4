"""The web site: built from executed notebooks, it loads everything from itself; the page restores as memnet does."""

import base64
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest

import memnet
from memnet import paths
from memnet.protocol import datasets, images

sys.path.append(str(paths.ROOT / "website"))
import prepare

NPM = paths.ROOT / "build" / "site" / "npm" / "node_modules"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_equations_get_the_papers_numbers_and_links():
    text = "By eq. 12, not eq. 3:\n\n$$a = b \\quad (8\\text{-}10)$$\n$$L = 1 \\quad (12)$$\n"
    linked = set()
    numbered = prepare.with_numbers(text, linked)
    assert "\n(eq-8)=\n(eq-9)=\n(eq-10)=\n$$a = b \\tag{8-10}$$\n" in numbered
    assert "\n(eq-12)=\n$$L = 1 \\tag{12}$$\n" in numbered
    assert linked == {8, 9, 10, 12}
    assert "By [eq. 12](#eq-12), not eq. 3:" in prepare.with_references(numbered, linked)
    assert prepare.with_references("units (eqs. 8, 9)", linked) == "units ([eqs. 8](#eq-8), 9)"


def test_notebooks_that_were_not_executed_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"lacks 01_start.ipynb.*memnet reproduce --images embedded"):
        prepare.sources(tmp_path)


def test_a_notebook_that_an_error_ended_is_named(tmp_path):
    executed_notebooks(tmp_path / "executed")
    assert len(prepare.sources(tmp_path / "executed")) == len(list(paths.NOTEBOOKS.glob("*.ipynb")))
    path = tmp_path / "executed" / "02_network.ipynb"
    book = nbformat.read(path, as_version=4)
    book.cells[-1].outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))
    nbformat.write(book, path)
    with pytest.raises(ValueError, match=r"lacks 02_network.ipynb, or an error ended them"):
        prepare.sources(tmp_path / "executed")


def test_badges_become_links():
    text = "[![Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/x)"
    assert prepare.without_badges(text) == "[Binder](https://mybinder.org/v2/gh/x)"
    readme = prepare.without_badges((paths.ROOT / "README.md").read_text(encoding="utf-8"))
    assert "](https://mybinder.org/v2/gh/" in readme
    assert "![Binder]" not in readme


def pages_of(site):
    """The pages of a built site, without the templates that themes leave in _static."""
    return [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]


def executed_notebooks(folder):
    """The notebooks as if papermill had run them: with a figure, injected parameters and the state of a widget."""
    folder.mkdir()
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        book = nbformat.read(path, as_version=4)
        figure = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
        worked_in = nbformat.v4.new_output("execute_result", {"text/plain": "/somewhere/.memnet-abc"})
        injected = nbformat.v4.new_code_cell("images = 'embedded'", metadata={"tags": ["injected-parameters"]})
        table = nbformat.v4.new_output("display_data", {"text/markdown": "| method | PSNR |\n| --- | --- |\n| a | 1 |"})
        formula = nbformat.v4.new_output("display_data", {"text/html": r"<p>$B_m = \mathcal{M}_m(B_{m-1})$</p>"})
        book.cells.append(nbformat.v4.new_code_cell("figure", outputs=[figure, worked_in, table, formula]))
        book.cells.insert(2, injected)
        book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
        nbformat.write(book, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    for package in ("sphinx", "myst_nb", "sphinx_book_theme", "onnxscript"):
        pytest.importorskip(package, reason="the extras `site` and `export` are not installed")
    if not NPM.is_dir():
        pytest.skip("the npm packages are not there: `make site` installs them")
    folder = tmp_path_factory.mktemp("site")
    prepare.prepare(executed_notebooks(folder / "executed"), NPM, folder / "source")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(folder / "source"), str(folder / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_pages_hold_no_injected_cell_and_no_address_that_is_loaded_from_elsewhere(site):
    pages = pages_of(site)
    assert len(pages) > 30
    loaded = re.compile(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"(https?://[^\"]+)\"")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "images = &#39;embedded&#39;" not in text
        assert "/somewhere/.memnet-" not in text
        assert "| method | PSNR |" not in text.split("<main")[-1]
        assert loaded.findall(text) == [], page


@pytest.mark.slow
def test_links_within_the_site_lead_somewhere(site):
    pages = [page for page in pages_of(site) if "_modules" not in page.parts]  # whose anchors Sphinx gets wrong
    texts = {page.resolve(): page.read_text(encoding="utf-8") for page in pages}
    lost = []
    for page, text in texts.items():
        for link in map(urlsplit, set(re.findall(r"<(?:a|img)[^>]* (?:href|src)=\"([^\"]+)\"", text))):
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            if (
                not link.netloc
                and not link.scheme
                and (
                    not target.exists()
                    or (link.fragment and target in texts and f'id="{unquote(link.fragment)}"' not in texts[target])
                )
            ):
                lost.append(f"{page.name}: {link.geturl()}")
    assert lost == []


@contextmanager
def served(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(site):
    """A page of a browser and the address of the site; requests that failed or went elsewhere are in page.failed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium")
    with served(site) as address, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.failed = []
        page.on("requestfailed", lambda request: left(request) or page.failed.append((request.url, request.failure)))
        page.on(
            "response", lambda response: response.status < 400 or page.failed.append(response.url)
        )  # 304: unchanged
        page.on("request", lambda request: elsewhere(request.url, address) and page.failed.append(request.url))
        yield page, address
        browser.close()


def left(request):
    """Whether a request was not awaited, because the page was left: no failure."""
    return request.failure == "net::ERR_ABORTED"


def elsewhere(url, address):
    return not url.startswith((address, "data:", "blob:"))


@pytest.mark.slow
def test_every_page_opens_without_a_failed_request_or_raw_formulas(site, browser):
    page, address = browser
    for file in pages_of(site):
        page.goto(f"{address}/{file.relative_to(site)}")
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container", state="attached")
            page.wait_for_function("MathJax.startup.promise.then(() => true)")
            assert r"\mathcal" not in "".join(page.locator(".cell_output").all_inner_texts()), file
        assert "$$" not in page.locator("body").inner_text(), file
    assert page.failed == []


@pytest.mark.slow
@pytest.mark.parametrize(("task", "scale"), [("denoising", None), ("super-resolution", 2)])
def test_the_page_restores_as_memnet_does(browser, tmp_path, task, scale):
    page, address = browser
    image = colour_crop()
    images.write_picture(tmp_path / "crop.png", image)
    page.goto(f"{address}/restore.html")
    page.evaluate("document.getElementById('restore').dataset.tile = 40")
    page.select_option("#task", task)
    if scale:
        page.select_option("#scale", str(scale))
    drop(page, tmp_path / "crop.png")
    page.wait_for_selector("#result", timeout=300_000)
    page.locator("#slider").evaluate("s => { s.value = 80; s.dispatchEvent(new Event('input')); }")
    assert "80%" in page.locator("#after").evaluate("canvas => canvas.style.clipPath")
    with page.expect_download() as download:
        page.wait_for_selector("#download[href]")
        page.click("#download")
    restored = images.read_picture(download.value.path())
    expected = memnet.restore(image, task=task, scale=scale).astype(int)
    assert restored.shape == expected.shape
    assert np.abs(restored - expected).max() <= 1
    assert np.abs(expected - restored).mean() < 0.05
    assert page.failed == []


def drop(page, file):
    """Drop an image file on the page, as a visitor does."""
    transfer = page.evaluate_handle(
        """data => {
          const transfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          transfer.items.add(new File([bytes], "crop.png", { type: "image/png" }));
          return transfer;
        }""",
        base64.b64encode(file.read_bytes()).decode(),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def colour_crop():
    """A crop of a colour image of the embedded set, uint8 (44, 56, 3)."""
    return datasets.embedded_colour()[3][1][60:104, 40:96]
