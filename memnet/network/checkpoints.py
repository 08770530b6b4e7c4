"""Weights and training states on disk: safetensors files that carry a hash of all they hold, checked at loading."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from memnet import paths
from memnet.network.model import Config, PlainConfig, without_values

FORMAT, STATE_FORMAT = "memnet-1", "memnet-state-1"
SHARD_BYTES = 12 * 2**20  # state is split into files of about this size, so that each can travel alone
CONFIGS = {"MemNet": Config, "PlainNet": PlainConfig, "Stack": PlainConfig}  # the last: a name in older files


# ----------------------------------------------------------------------------------------------------------- weights
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
    return parse(Path(path), *read_tensors(Path(path)))


def history(path: Path) -> dict:
    """The history of the training behind the weights in `path`, as it was saved; ValueError as `load`."""
    return load(path)[1]


def parse(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[nn.Module, dict]:
    """Network and history from what was read from `path`."""
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is no MemNet checkpoint (format {metadata.get('format')!r}, expected {FORMAT!r})")
    try:
        network = json.loads(metadata["network"])
        model = without_values(CONFIGS[network.pop("class")](**network))
        model.load_state_dict(tensors)
        history = json.loads(metadata["history"])
        if not isinstance(history, dict) or not all(isinstance(stage, dict) for stage in history.get("stages", ())):
            raise ValueError("its history is not that of a training")
        return model.eval(), history
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is of a network that is not known here ({error})") from error
    except RuntimeError as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not hold the tensors of its network ({message})") from error


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


# ---------------------------------------------------------------------------------------------------- training states
def save_state(folder: Path, tensors: dict[str, Tensor], meta: dict) -> None:
    """Replace `folder` by one that holds `tensors`, in files of at most about 12 MiB, and `meta` (JSON values).

    The earlier state stays until this one is on the disk: a kill or a power cut leaves one of the two.
    """
    folder = Path(folder)
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        hashes = {}
        for number, shard in enumerate(shards(tensors)):
            file = new / f"{number:02}.safetensors"
            hashes[file.name] = write_tensors(file, shard, {"format": STATE_FORMAT})
        content = {"format": STATE_FORMAT, "files": hashes, "meta": meta}
        paths.write_text(new / "state.json", json.dumps({**content, "sha256": json_hash(content)}))
        if folder.exists():  # else the last whole state may be the one in `old`
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        paths.sync(folder.parent)
    except (ValueError, OSError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ValueError(f"{folder} cannot be written, the state before is kept: {error}") from error
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and meta of `save_state`; ValueError when there is no state in `folder` or a broken one."""
    (files, meta), tensors = read_content(folder), {}
    for name, expected in files.items():
        path = state_folder(folder) / name
        shard, metadata = read_tensors(path)
        if (metadata.get("format"), metadata.get("sha256")) != (STATE_FORMAT, expected):
            raise ValueError(f"{path} is broken: it is of another training state")
        tensors |= shard
    return tensors, meta


def load_meta(folder: Path) -> dict:
    """The meta of `save_state` alone; ValueError as `load_state`."""
    return read_content(folder)[1]


def has_state(folder: Path) -> bool:
    """Whether there is a training state in `folder`, be it whole or broken."""
    return state_folder(folder).exists()


def read_content(folder: Path) -> tuple[dict, dict]:
    """What state.json says: files with their hashes, and meta."""
    if not has_state(folder):
        raise ValueError(f"no training state in {folder}: start the run without --resume")
    path = state_folder(folder) / "state.json"
    try:
        content = json.loads(path.read_bytes())
        expected, files, meta = content.pop("sha256"), dict(content["files"]), content["meta"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        words = "start again with --overwrite, or put a copy in its place"
        raise ValueError(f"{path} is broken ({type(error).__name__}): {words}") from error
    if content.get("format") != STATE_FORMAT or expected != json_hash(content):
        raise ValueError(f"{path} is broken: its hash is not that of what it holds; start again with --overwrite")
    return files, meta


def state_folder(folder: Path) -> Path:
    """Where the state of `folder` lies: there, or beside it if writing was stopped between the two renames."""
    folder = Path(folder)
    old = folder.with_name(folder.name + ".old")
    return old if old.exists() and not folder.exists() else folder


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


# -------------------------------------------------------------------------------------------------------------- files
def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Write a safetensors file with a hash of its content, whole or not at all, and return the hash.

    Raises ValueError when that is not possible.
    """
    digest = content_hash(tensors, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with paths.atomic_write(path) as partial:
            partial.write_bytes(save_tensors(tensors, {**metadata, "sha256": digest}))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be written, what was there before is kept: {error}") from error
    return digest


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; ValueError when it is missing, broken or has not the right hash."""
    if not path.is_file():
        raise ValueError(f"there are no weights at {path}")
    data = path.read_bytes()
    try:
        tensors = parse_tensors(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    rest = {name: value for name, value in metadata.items() if name != "sha256"}
    if rest.get("format") in (FORMAT, STATE_FORMAT) and metadata.get("sha256") != content_hash(tensors, rest):
        raise ValueError(f"{path} is broken: its hash is not that of what it holds; fetch or train it again")
    return tensors, metadata


def content_hash(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of `tensors`, whatever their order, and over the metadata."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def json_hash(content: dict) -> str:
    """SHA-256 of a JSON object, whatever the order of its names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
