"""Weights on disk: safetensors files that carry the network's configuration and the history of its training."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from memnet.network.model import Config, StackConfig, without_values
from memnet.paths import atomic_write

FORMAT = "memnet-1"
SHARD_BYTES = 12 * 2**20  # state is split into files of about this size, so that each can travel alone
CONFIGS = {"MemNet": Config, "Stack": StackConfig}


def save(path: Path, model: nn.Module, *, history: dict) -> None:
    """Write the weights and buffers of `model` to `path`, whole or not at all, with `history` (JSON values) inside."""
    network = {"class": type(model).__name__, **asdict(model.config)}
    metadata = {"format": FORMAT, "network": json.dumps(network), "history": json.dumps(history)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(Path(path), tensors, metadata)


def load(path: Path) -> tuple[nn.Module, dict]:
    """The network in `path`, in evaluation mode on the CPU, and the history of its training.

    Raises ValueError when the file is missing, broken or not one of ours.
    """
    tensors, metadata = read_tensors(Path(path))
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is no MemNet checkpoint (format {metadata.get('format')!r}, expected {FORMAT!r})")
    network = json.loads(metadata["network"])
    try:
        model = without_values(CONFIGS[network.pop("class")](**network))
        model.load_state_dict(tensors)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is of a network that is not known here ({error})") from error
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the tensors of its network ({error})") from error
    return model.eval(), json.loads(metadata["history"])


def weights_hash(path: Path) -> str:
    """16 hexadecimal digits that name the tensors in `path`; the history beside them does not count."""
    return tensors_hash(read_tensors(Path(path))[0])


def tensors_hash(tensors: dict[str, Tensor]) -> str:
    """16 hexadecimal digits (SHA-256) over names and bytes of `tensors`, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_state(folder: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Replace `folder` by one that holds `tensors`, in files of at most about 12 MiB, and `meta` (JSON values)."""
    folder = Path(folder)
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        for number, shard in enumerate(shards(tensors)):
            write_tensors(new / f"{number:02}.safetensors", shard, {})
        (new / "state.json").write_text(json.dumps(meta))
    except (ValueError, OSError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ValueError(f"{folder} cannot be written, the state before is kept: {error}") from error
    if folder.exists():  # else the last whole state may be the one in `old`
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and meta of `save_state`; ValueError when there is no whole state in `folder`."""
    tensors = {}
    for shard in sorted(whole_state(folder).glob("*.safetensors")):
        tensors |= read_tensors(shard)[0]
    return tensors, load_meta(folder)


def load_meta(folder: Path) -> dict:
    """The meta of `save_state` alone; ValueError as `load_state`."""
    return json.loads((whole_state(folder) / "state.json").read_text())


def whole_state(folder: Path) -> Path:
    """Where the state of `folder` lies: there, or beside it if writing was stopped between the two renames."""
    folder = Path(folder)
    if not (folder / "state.json").exists():
        folder = folder.with_name(folder.name + ".old")
    if not (folder / "state.json").exists():
        raise ValueError(f"no training state in {folder.with_suffix('')}: start the run without --resume")
    return folder


def shards(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """`tensors` in their order, dealt into groups of at most SHARD_BYTES."""
    groups, size = [{}], 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.nbytes > SHARD_BYTES:
            groups.append({})
            size = 0
        groups[-1][name] = tensor.detach().cpu().contiguous()
        size += tensor.nbytes
    return groups


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; ValueError when that is not possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(save_tensors(tensors, metadata))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be written, what was there before is kept: {error}") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; ValueError when it is missing or broken."""
    if not path.is_file():
        raise ValueError(f"there are no weights at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
