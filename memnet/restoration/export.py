"""Write a trained network as an ONNX file, for programs without torch."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from memnet.extras import require
from memnet.paths import atomic_write
from memnet.protocol import images, tasks
from memnet.protocol.tasks import Task

OPSET = 18


class RgbNet(nn.Module):
    """A network for colour: RGB (N, 3, H, W) in [0, 1] in and out, clipped.

    The first `channels` of Y, Cb and Cr go through the network; the others stay as they are. (`memnet.restore` also
    restores Cb and Cr of a JPEG, at half their size.)
    """

    def __init__(self, model: nn.Module, channels: int):
        super().__init__()
        self.model, self.channels = model, channels
        to_ycbcr = torch.tensor(images.TO_YCBCR / 255)
        self.register_buffer("to_ycbcr", to_ycbcr.float().view(3, 3, 1, 1))
        self.register_buffer("to_rgb", to_ycbcr.inverse()[:, :channels].float().reshape(3, channels, 1, 1))
        self.register_buffer("offset", torch.tensor(images.YCBCR_OFFSET / 255).float())

    def forward(self, rgb: Tensor) -> Tensor:
        """The restored image (N, 3, H, W)."""
        ycbcr = nn.functional.conv2d(rgb, self.to_ycbcr, self.offset)[:, : self.channels]
        channel = ycbcr.reshape(-1, 1, *rgb.shape[2:])
        change = (self.model(channel) - channel).reshape(ycbcr.shape)
        return (rgb + nn.functional.conv2d(change, self.to_rgb)).clamp(0, 1)


def rgb_channels(task: str | Task) -> int:
    """How many of Y, Cb and Cr an RGB file of a task restores: 3 where chroma is restored at full size, else 1."""
    return 3 if tasks.task(task).chroma_shrink == 1 else 1


def export_onnx(model: nn.Module, path: Path, *, channels: int | None = None, metadata: dict[str, str]) -> None:
    """Write a trained network to the ONNX file `path`: input x and output y, float32 (N, 1, H, W), of any N, H and W.

    x and y are those of `model(x)`: one channel in [0, 1], enlarged bicubically before super-resolution, and not
    clipped. With `channels` they are RGB (N, 3, H, W) as of `RgbNet`. `metadata` goes into the file.

    y differs from `model(x)` by less than 1e-4 grey levels on photographs, and by up to 1e-3 on noise and
    checkerboards: both add in float32, in another order, and each is as far from the network in float64. Raises
    ValueError where the extra `export` is not installed, and for networks that are not in the form that they were
    trained in.
    """
    for package in ("onnxscript", "onnx"):
        require(package, extra="export", purpose="an export to ONNX")
    if not hasattr(model, "reconnet"):
        raise ValueError(f"{type(model).__name__} has no ReconNet: export a network as memnet.load gives it")
    network = model if channels is None else RgbNet(model, channels)
    x = torch.rand(2, 1 if channels is None else 3, 24, 20)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # no torchvision: no harm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of itself
        program = torch.onnx.export(
            network.eval(),
            (x,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
            external_data=False,
            verbose=False,
        )
    program.model.metadata_props.update(metadata)
    with atomic_write(path) as partial:
        program.save(partial)
