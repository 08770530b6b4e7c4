"""ONNX files give the numbers of the networks that they were made of."""

import re
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from memnet import paths
from memnet.cli import app
from memnet.network.folded import inference_form
from memnet.network.model import Config, PlainConfig, build
from memnet.protocol import datasets, images
from memnet.restoration import arrays, export
from memnet.study import registry

DOCUMENT = paths.ROOT / "docs" / "restoring.md"


def session(path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def difference(path, model, x):
    """The largest difference, in grey levels, between an ONNX file and its network in float64 on x (N, C, H, W)."""
    (y,) = session(path).run(None, {"x": x.astype(np.float32)})
    with torch.inference_mode():
        exact = deepcopy(model).double()(torch.from_numpy(x.astype(np.float32)).double())
    return 255 * np.abs(y - exact.numpy()).max()


def rounding_of_both(path, model, x):
    """`difference` for an input on which float32 errs: the error of torch is as large, within a factor of 2."""
    with torch.inference_mode():
        x = torch.from_numpy(x.astype(np.float32))
        of_torch = 255 * (model(x) - deepcopy(model).double()(x.double())).abs().max().item()
    of_onnx = difference(path, model, x.numpy())
    assert of_torch / 2 < of_onnx < 2 * of_torch
    return of_onnx


def trained(config):
    """A small network like a trained one: batch norms hold statistics of images, y is near x."""
    torch.manual_seed(0)
    model = build(config)
    with torch.no_grad():
        model.reconnet.conv.weight *= 0.05
        model(torch.rand(4, 1, 20, 20))
    return model.eval()


CONFIGS = [Config(2, 2, channels=4), Config(2, 2, channels=4, long_term=False), PlainConfig(4, channels=4, skip=True)]


@pytest.mark.parametrize("config", CONFIGS, ids=["MemNet", "NL", "skip"])
def test_an_onnx_file_gives_the_network_at_any_size(tmp_path, config):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    model = trained(config)
    export.export_onnx(model, tmp_path / "net.onnx", metadata={"run": "small"})
    for shape in ((1, 1, 1, 1), (1, 1, 1, 9), (3, 1, 31, 17)):
        assert difference(tmp_path / "net.onnx", model, np.random.default_rng(0).random(shape)) < 1e-4
    assert session(tmp_path / "net.onnx").get_modelmeta().custom_metadata_map["run"] == "small"


@pytest.mark.parametrize("channels", [1, 3])
def test_rgb_goes_in_and_out(tmp_path, channels):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    model, rgb = trained(Config(1, 1, channels=4)), np.random.default_rng(1).random((12, 9, 3))
    export.export_onnx(model, tmp_path / "net.onnx", channels=channels, metadata={})
    ycbcr = images.rgb_to_ycbcr(rgb)
    for channel in range(channels):
        with torch.inference_mode():
            y = model(torch.from_numpy(ycbcr[..., channel]).float()[None, None])
        ycbcr[..., channel] = y[0, 0].numpy()
    inverse = np.linalg.inv(images.TO_YCBCR)
    expected = ((255 * ycbcr - images.YCBCR_OFFSET) @ inverse.T).clip(0, 1)
    (y,) = session(tmp_path / "net.onnx").run(None, {"x": rgb.transpose(2, 0, 1)[None].astype(np.float32)})
    np.testing.assert_allclose(y[0].transpose(1, 2, 0), expected, atol=2e-6)


def test_an_rgb_file_of_denoising_gives_what_restore_gives(tmp_path):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    model, image = trained(Config(1, 1, channels=4)), np.random.default_rng(2).random((11, 14, 3))
    channels = export.rgb_channels("denoising")
    export.export_onnx(model, tmp_path / "net.onnx", channels=channels, metadata={})
    (y,) = session(tmp_path / "net.onnx").run(None, {"x": image.transpose(2, 0, 1)[None].astype(np.float32)})
    restored = arrays.restore(image, task="denoising", model=model)
    np.testing.assert_allclose(y[0].transpose(1, 2, 0), restored, atol=2e-6)
    assert export.rgb_channels("sr") == 1


def test_the_program_without_torch_restores(tmp_path):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra `export` is not installed")
    model, image = trained(Config(1, 1, channels=4)), datasets.embedded_colour()[0][1][:12, :9]
    export.export_onnx(model, tmp_path / "denoising.onnx", channels=3, metadata={})
    images.write_picture(tmp_path / "photo.png", image)
    program = re.search(r"## Without torch.*?```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    code = f"import sys\nsys.modules['torch'] = None\n{program}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = arrays.restore(image, task="denoising", model=model).astype(int)
    assert np.abs(images.read_picture(tmp_path / "restored.png") - expected).max() <= 1


@pytest.mark.slow
def test_a_shipped_network_is_exported_within_a_ten_thousandth_of_a_grey_level(tmp_path):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    path = tmp_path / "sr.onnx"
    result = CliRunner().invoke(app, ["export", "sr-M6R6", "--output", str(path)])
    assert result.exit_code == 0, result.output
    model = registry.load("sr-M6R6")
    assert rounding_of_both(path, model, np.random.default_rng(0).random((1, 1, 64, 48))) < 5e-4
    assert rounding_of_both(path, model, np.indices((1, 1, 64, 48)).sum(0) % 2.0) < 5e-4  # a checkerboard
    for picture in datasets.pictures("embedded")[:3]:
        assert difference(path, model, images.to_float(picture.pixels[:64, :48])[None, None]) < 1e-4


def test_what_cannot_be_exported_is_one_sentence(tmp_path, monkeypatch):
    model = trained(Config(1, 1, channels=4))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"needs onnxscript: run `pip install 'memnet\[export\]'`"):
        export.export_onnx(model, tmp_path / "net.onnx", metadata={})
    monkeypatch.setattr("memnet.restoration.export.require", lambda *names, **words: None)
    with pytest.raises(ValueError, match="InferenceNet has no ReconNet"):
        export.export_onnx(inference_form(model), tmp_path / "net.onnx", metadata={})
    result = CliRunner().invoke(app, ["export", "sr-M6R6", "--format", "torchscript", "--output", str(tmp_path / "n")])
    assert (result.exit_code, "unknown format 'torchscript'" in result.output) == (2, True)
