"""Damaged files and odd command lines: each ends as if nothing had happened, or with one sentence that names the file.

`python tests/fuzz.py --minutes 10` tries all targets in turn, `python tests/fuzz.py weights --seed 3 --number 17` one
input again. What fails: any other exception, another result than that of the undamaged file, more than 10 s, more than
1 GiB. The tests run it for seconds.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageCms
from typer.testing import CliRunner

from memnet import cli, paths
from memnet.network import checkpoints
from memnet.network.model import Config, build
from memnet.protocol import containers, datasets, photographs, tasks
from memnet.publishing import printed, records
from memnet.study import registry, store

MOST_SECONDS, MOST_BYTES = 10, 2**30


class FallsShort(Exception):
    """An input that does not end well, and the command that tries it again."""


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut, repeated, or replaced by numbers that lie."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = int(rng.integers(0, max(len(content) * rng.choice([0.1, 1.0]), 1)))
        match rng.integers(0, 8):
            case 0:
                content[at : at + 1] = bytes([rng.integers(0, 256)])
            case 1:
                content[at : at + 4] = struct.pack(
                    rng.choice([">I", "<I"]), rng.choice([0, 1, 13_000, 2**31 - 1, 2**32 - 1])
                )
            case 2:
                content[at : at + 2] = struct.pack(rng.choice([">H", "<H"]), rng.choice([0, 1, 12_000, 2**16 - 1]))
            case 3:
                del content[at : at + int(rng.integers(1, 40))]
            case 4:
                content[at:at] = content[at : at + int(rng.integers(1, 40))]
            case 5:
                del content[at + 20 :]
            case 6:
                digits = [place for place in range(at, min(at + 2000, len(content))) if chr(content[place]).isdigit()]
                if digits:
                    content[rng.choice(digits)] = rng.choice(list(b"0123456789"))
            case 7:
                content[at : at + 1] = bytes([content[at] ^ 1 << int(rng.integers(8))]) if content else b""
    return bytes(content)


def check_sentence(sentence: str, folder: Path) -> None:
    """AssertionError unless it is one line that names a file of the folder."""
    assert str(folder) in sentence, f"the sentence does not name the file: {sentence}"
    assert "\n" not in sentence, f"more than one line: {sentence}"


class Files(ABC):
    """Files of one kind: valid ones in a folder, damaged one at a time and then read."""

    name: str
    exact = True  # whether a damaged file may be read at all only as the undamaged one

    def __init__(self, folder: Path):
        self.folder = folder
        self.make()
        self.valid = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        self.expected = {path: self.read(path) for path in self.valid}

    @abstractmethod
    def make(self) -> None:
        """Write the valid files."""

    @abstractmethod
    def read(self, path: Path) -> object:
        """What the project makes of the file, in a form that can be compared."""

    def attempt(self, rng: np.random.Generator) -> str:
        """Damage a file and read it: "same", "read" or "refused"; AssertionError for anything else."""
        path = list(self.valid)[rng.integers(len(self.valid))]
        content = mutated(self.valid[path], rng)
        path.write_bytes(content)
        try:
            result = self.read(path)
        except ValueError as error:
            check_sentence(str(error), self.folder)
            return "refused"
        finally:
            path.write_bytes(self.valid[path])
        same = result == self.expected[path]
        assert same or not self.may_not_differ(path), f"another result without a word, of {path.name}"
        return "same" if same else "read"

    def may_not_differ(self, path: Path) -> bool:
        """Whether what is read has to be what the undamaged file holds."""
        return self.exact


class Images(Files):
    """Image files of every kind; those with checksums are right or refused."""

    name = "images"

    def make(self):
        for number, (kind, content) in enumerate(image_files()):
            (self.folder / f"{number:02}.{kind.lower()}").write_bytes(content)

    def read(self, path):
        photograph = photographs.read_photograph(path)
        pixels = photograph.pixels
        if any("broken" in remark for remark in photograph.remarks):  # then what is left out is said
            raise ValueError(f"{path}: {photograph.remarks}")
        assert pixels.dtype in (np.uint8, np.uint16)
        assert pixels.ndim == 2 or pixels.shape[2] == 3
        return pixels.shape, pixels.tobytes()

    def may_not_differ(self, path):
        return path.suffix == ".png"


class LyingImages(Images):
    """PNG files whose damaged chunks have the right checksums, so that what is within them is read."""

    name = "lying-images"
    exact = False

    def make(self):
        for number, (kind, content) in enumerate(image_files()):
            if kind == "PNG":
                (self.folder / f"{number:02}.png").write_bytes(content)

    def read(self, path):
        path.write_bytes(with_checksums(path.read_bytes()))
        return super().read(path)

    def may_not_differ(self, path):
        return False


def image_files():
    """Kind and content of valid files, small, with metadata."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (21, 18, 3), dtype=np.uint8).repeat(2, axis=0))
    gray, alpha = colour.convert("L"), colour.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rich = {"exif": exif, "icc_profile": profile, "dpi": (300, 300)}
    every = [
        (colour, "PNG", rich),
        (gray, "PNG", {"transparency": 7}),
        (gray.convert("1"), "PNG", {}),
        (colour.quantize(16), "PNG", {"transparency": bytes(range(16))}),
        (alpha, "PNG", {}),
        (colour, "JPEG", {**rich, "progressive": True, "comment": b"hello"}),
        (colour.convert("CMYK"), "JPEG", {"icc_profile": profile}),
        (colour, "TIFF", {"compression": "tiff_lzw", **rich}),
        (colour, "TIFF", {}),
        (colour.quantize(16), "TIFF", {}),
        (gray.convert("1"), "TIFF", {"compression": "group4"}),
        (colour, "GIF", {"save_all": True, "append_images": [colour.rotate(180)]}),
        (alpha, "WEBP", {"lossless": True}),
        (colour, "WEBP", {"exif": exif}),
        *((colour, kind, {}) for kind in ("BMP", "PPM", "TGA", "QOI", "SGI", "PCX", "JPEG2000", "AVIF", "ICO")),
    ]
    for picture, kind, options in every:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        yield kind, file.getvalue()
    deep = rng.integers(0, 65536, (9, 8, 4)).astype(np.uint16)
    yield from (("PNG", containers.png_of_16_bits(deep[..., :channels], [])) for channels in (1, 2, 3, 4))


def with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, so that what is within them is read; other files as they are."""
    try:
        chunks = list(containers.png_chunks(content))
    except (struct.error, IndexError):
        return content
    whole = [chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) for _, chunk, _ in chunks]
    return containers.PNG_SIGNATURE + b"".join(whole) if chunks else content


def plain(tensors: dict) -> dict:
    """Tensors in a form that can be compared."""
    return {name: (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes()) for name, tensor in tensors.items()}


class Weights(Files):
    """A network with the history of its training."""

    name = "weights"

    def make(self):
        torch.manual_seed(0)
        history = {"run": "sr-M6R6", "stages": [{"steps": 300, "psnr_gain": 1.25}]}
        checkpoints.save(self.folder / "a.safetensors", build(Config(2, 2, channels=4)), history=history)

    def read(self, path):
        model, history = checkpoints.load(path)
        return model.config, plain(model.state_dict()), history


class States(Files):
    """A training state of two files of tensors."""

    name = "states"

    def make(self):
        with mock.patch.object(checkpoints, "SHARD_BYTES", 500):
            tensors = {"x": torch.arange(100.0), "y": torch.arange(120).to(torch.uint8)}
            checkpoints.save_state(self.folder / "a.state", tensors, {"step": 7, "seconds": 1.5, "stages": []})

    def read(self, path):
        tensors, meta = checkpoints.load_state(path.parent)
        return plain(tensors), meta


class Rows(Files):
    """Measured rows behind their key."""

    name = "rows"

    def make(self):
        rows = pd.DataFrame({"run": "a", "image": ["1", "butterfly"], "psnr": [30.123456, 28.5], "ssim": [0.9, 0.8]})
        store.write_rows(self.folder / "Set5-3.csv", rows, {"weights": "60074f47e0c3412c", "protocol": 1, "seed": 0})

    def read(self, path):
        key, rows = store.read_rows(path)
        return key, rows.to_csv()


class Tables(Files):
    """The manifest and the paper's numbers, each with its sum."""

    name = "tables"

    def make(self):
        for number, path in enumerate((paths.MANIFEST, paths.PAPER / "paper.csv")):
            for name in (path.name, "SHA256SUMS"):
                (self.folder / str(number)).mkdir(exist_ok=True)
                (self.folder / str(number) / name).write_bytes((path.parent / name).read_bytes())

    def read(self, path):
        found = []
        with (
            mock.patch.object(paths, "PAPER", path.parent),
            mock.patch.object(paths, "MANIFEST", path.parent / "manifest.csv"),
        ):
            if (path.parent / "paper.csv").exists():
                found.append(printed.read.__wrapped__("paper").to_csv())
            if paths.MANIFEST.exists():
                found.append(datasets.manifest.__wrapped__())
        return found


class Records(Files):
    """The record of an item and the table of when items were made."""

    name = "records"

    def make(self):
        for name in ("made.csv", "embedded/start.json"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes((paths.FIGURES / name).read_bytes())

    def read(self, path):
        with mock.patch.object(paths, "FIGURES", self.folder):
            return records.made().to_csv() if path.suffix == ".csv" else records.read("start", path.parent)


class Packs(Files):
    """A pack of images, read through MEMNET_DATA."""

    name = "packs"

    def make(self):
        self.rows = tuple({"path": f"Set5/{name}.png", "sha256": "0" * 64} for name in "ab")
        with zipfile.ZipFile(self.folder / "pack.zip", "w") as archive:
            for number, row in enumerate(self.rows):
                file = io.BytesIO()
                Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 8), np.uint8)).save(file, "PNG")
                entry = zipfile.ZipInfo(row["path"])
                entry.comment = f"{row['sha256']} {hashlib.sha256(file.getvalue()).hexdigest()}".encode()
                archive.writestr(entry, file.getvalue())

    def read(self, path):
        with (
            mock.patch.dict(os.environ, {"MEMNET_DATA": str(path)}),
            mock.patch.object(datasets, "manifest", return_value=self.rows),
        ):
            if datasets.missing("Set5") or datasets.differing("Set5"):  # said, and nothing is stored
                raise ValueError(f"{path}: some images are missing or differ")
            return [picture.pixels.tobytes() for picture in datasets.pictures("Set5")]


ODD = """-1 0 1 2 3 4 10 30 nan inf -inf 1e300 1e400 ² ٣ ~ ~nobody /dev/null {x} %s = é true None [] * loop a.png folder
broken.png out.png out fifo a.png/b jpeg sr embedded jpeg-M6R6 sr-M6R6 paper"""
ODD_WORDS = [*ODD.split(), "", "a b", "\n", "\udcff", "9" * 5000, "x" * 999]
SETTINGS = "seed=1 seed=² steps=1e9 batch=nan batch=0 patch = schedule=x learning_rate=inf nosuch=1"
RESTORING = "--run --strength --luma-only --compare --tile --overlap --precision --ensemble --overwrite"
COMMANDS = {  # words that are always there, and what may follow
    "restore": f"a.png --task --output --level {RESTORING} --max-megapixels",
    "restore a.png --task jpeg --output out": RESTORING,
    "evaluate jpeg-M6R6 --images folder": "--level --csv --limit --tile --ensemble --fresh",
    "evaluate": "jpeg-M6R6 --images --dataset --level --csv --limit --tile",
    "train": "sr-M6R6 --minutes --steps --preset -p --output --resume --continue --grow --overwrite --eager",
    "reproduce -p nosuch=1": "start --images -p --output --fresh --update",
    "export jpeg-M6R6": "--output --format --rgb",
    "why": "3 S14 30 MemNet",
    "data check": "Set5",
    "data pack --output pack.zip": "Set5",
    "data fetch embedded": "--jobs --overwrite",
    "runs": "",
    "nosuch": "",
}
FLAGS = "--luma-only --compare --ensemble --overwrite --fresh --resume --continue --grow --eager --update --rgb"


class Commands:
    """Command lines of odd words, with tiny networks and no benchmark images."""

    name = "commands"

    def __init__(self, folder: Path):
        self.folder, self.weights = folder, folder.with_name(f"{folder.name}-weights")
        torch.manual_seed(0)
        with mock.patch.object(paths, "WEIGHTS", self.weights):
            for run in {function(task) for task in tasks.TASKS for function in (registry.main_run, registry.run_for)}:
                stage = {"steps": 1, "batch": 1, "seconds": 1.0, "psnr_gain": 0.0, "hardware": "none"}
                checkpoints.save(
                    registry.weights_path(run), build(Config(1, 1, channels=2)), history={"run": run, "stages": [stage]}
                )

    def fill(self) -> None:
        """The files that command lines name, and no others."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "folder").mkdir(parents=True)
        image = np.random.default_rng(0).integers(0, 256, (14, 12, 3), np.uint8)
        for name in ("a.png", "folder/b.png"):
            Image.fromarray(image).save(self.folder / name)
        (self.folder / "broken.png").write_bytes((self.folder / "a.png").read_bytes()[:99])
        (self.folder / "loop").symlink_to("loop")
        os.mkfifo(self.folder / "fifo")

    def words(self, rng: np.random.Generator) -> list[str]:
        """A command line."""
        always = list(COMMANDS)[rng.integers(len(COMMANDS))]
        words, options = always.split(), COMMANDS[always].split()
        for option in rng.permutation(options)[: rng.integers(0, 5)]:
            if option.startswith("-") and option not in FLAGS.split():
                words += [str(option), str(rng.choice(SETTINGS.split() if option == "-p" else ODD_WORDS))]
            else:
                words.append(
                    str(option) if option in FLAGS.split() or rng.random() < 0.7 else str(rng.choice(ODD_WORDS))
                )
        return words

    def attempt(self, rng: np.random.Generator) -> str:
        """Run a command line: "same" where it succeeds, else "refused"; AssertionError for anything else."""
        self.fill()
        words, before = self.words(rng), Path.cwd()
        changes = {"MEMNET_DATA": str(self.folder / "images"), "HOME": str(self.folder)}
        with (
            mock.patch.object(paths, "WEIGHTS", self.weights),
            mock.patch.object(paths, "RESULTS", self.folder / "results"),
            mock.patch.dict(os.environ, changes),
        ):
            os.chdir(self.folder)
            try:
                result = CliRunner().invoke(cli.app, words)
            finally:
                os.chdir(before)
        shown = " ".join(f"{word!r:.60}" for word in words)
        failed = None if isinstance(result.exception, SystemExit) else result.exception
        assert failed is None, f"{type(failed).__name__}: {failed} of {shown}"
        assert result.exit_code in (0, cli.SOME_FAILED, cli.WRONG_USE), f"exit code {result.exit_code} of {shown}"
        assert result.exit_code == 0 or result.output.strip(), f"no word of {shown}"
        assert "Traceback" not in result.output, shown
        return "same" if result.exit_code == 0 else "refused"


TARGETS = {kind.name: kind for kind in (Images, LyingImages, Weights, States, Rows, Tables, Records, Packs, Commands)}


def resident(line: str) -> int:
    """Bytes of memory of this process by a line of /proc: VmRSS now, VmHWM at most; 0 where there is no /proc."""
    report = Path("/proc/self/status")
    lines = report.read_text().splitlines() if report.exists() else []
    return next((int(text.split()[1]) * 1024 for text in lines if text.startswith(line)), 0)


def attempt(target: Files | Commands, seed: int, number: int) -> str:
    """One input; what became of it. FallsShort, with how to try it again, when it does not end well.

    What takes too long is tried twice: a machine that others use stalls now and then.
    """
    try:
        outcome, seconds, memory = measured(target, seed, number)
        if seconds > MOST_SECONDS:
            outcome, seconds, memory = measured(target, seed, number)
        assert seconds < MOST_SECONDS, f"{seconds:.0f} s"
        assert memory < MOST_BYTES, f"{memory / 2**20:.0f} MiB"
    except Exception as error:  # whatever it is, it falls short
        again = f"python tests/fuzz.py {target.name} --seed {seed} --number {number}"
        raise FallsShort(f"{again}: {type(error).__name__}: {error}") from error
    return outcome


def measured(target: Files | Commands, seed: int, number: int) -> tuple[str, float, int]:
    """What became of one input, the seconds, and the bytes of memory that it took at most."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    memory, begin = resident("VmRSS"), time.monotonic()
    outcome = target.attempt(np.random.default_rng([seed, number]))
    return outcome, time.monotonic() - begin, resident("VmHWM") - memory


def main() -> int:
    """Try targets for minutes, or one input again; the number of inputs that fall short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all if left out")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--number", type=int, help="this input alone")
    given = parser.parse_args()
    failures, counts = {}, Counter()
    with tempfile.TemporaryDirectory() as folder:
        targets = []
        for name in given.targets or TARGETS:
            (Path(folder) / name).mkdir()
            targets.append(TARGETS[name](Path(folder) / name))
        end, number = time.monotonic() + 60 * given.minutes, given.number or 0
        while time.monotonic() < end:
            for target in targets:
                try:
                    counts[target.name, attempt(target, given.seed, number)] += 1
                except FallsShort as error:
                    message = str(error).replace(folder, "FOLDER")
                    kind = message.split(": ", 1)[1][:60]
                    if (target.name, kind) not in failures:  # the first of each kind
                        failures[target.name, kind] = message
                        print(f"FALLS SHORT: {message}", flush=True)
            if given.number is not None:
                break
            number += 1
    print(json.dumps({f"{name} {outcome}": count for (name, outcome), count in sorted(counts.items())}, indent=1))
    print(f"{len(failures)} kinds of inputs fall short, of seed {given.seed}")
    return len(failures)


if __name__ == "__main__":
    sys.exit(bool(main()))
