"""Mutated image files: each ends with an image or with one sentence, in 10 s and 1 GiB.

`MEMNET_FUZZ_SECONDS=600 pytest tests/test_fuzz_images.py` runs long, MEMNET_FUZZ_SEED=1 makes other mutations.
"""

import io
import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from memnet import paths
from memnet.protocol import containers, photographs

SEED = int(os.environ.get("MEMNET_FUZZ_SEED", "0"))
SECONDS = float(os.environ.get("MEMNET_FUZZ_SECONDS", "6"))
MOST_SECONDS, MOST_BYTES = 10, 2**30


def seeds():
    """Valid files of every kind, small, with metadata."""
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
        (gray.convert("1"), "TIFF", {"compression": "group4"}),
        (colour, "GIF", {"save_all": True, "append_images": [colour.rotate(180)]}),
        (alpha, "WEBP", {"lossless": True}),
        (colour, "WEBP", {"exif": exif}),
        *((colour, kind, {}) for kind in ("BMP", "PPM", "TGA", "QOI", "SGI", "PCX", "JPEG2000", "AVIF", "ICO")),
    ]
    for picture, kind, options in every:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        yield file.getvalue()
    deep = rng.integers(0, 65536, (9, 8, 4)).astype(np.uint16)
    yield from (containers.png_of_16_bits(deep[..., :channels], []) for channels in (1, 2, 3, 4))


def mutated(content, rng):
    """Some bytes changed, cut, repeated, or replaced by numbers that lie; checksums of PNGs are often right."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, max(len(content) * rng.choice([0.1, 1.0]), 1)))
        match rng.integers(0, 6):
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
    return with_checksums(bytes(content)) if rng.random() < 0.7 else bytes(content)


def with_checksums(content):
    """A PNG whose chunks have the right checksums, so that what is within them is read; other files as they are."""
    try:
        chunks = list(containers.png_chunks(content))
    except (struct.error, IndexError):
        return content
    whole = [chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) for _, chunk, _ in chunks]
    return containers.PNG_SIGNATURE + b"".join(whole) if chunks else content


def outcome(file):
    """The pixels of a file, or what is said of it; anything else is an AssertionError that holds the file."""
    try:
        return photographs.read_photograph(file).pixels
    except ValueError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} of {file.read_bytes()!r}") from error


def test_mutated_files_end_with_an_image_or_a_sentence(tmp_path):
    rng, valid, file = np.random.default_rng(SEED), list(seeds()), tmp_path / "a.png"
    begin, images, sentences = time.monotonic(), 0, 0
    while time.monotonic() - begin < SECONDS:
        content = mutated(valid[rng.integers(len(valid))], rng)
        file.write_bytes(content)
        start = time.monotonic()
        found = outcome(file)
        if isinstance(found, str):
            assert found.startswith(str(file)), content
            assert len(found.splitlines()) == 1, content
            sentences += 1
        else:
            assert found.dtype in (np.uint8, np.uint16)
            assert found.ndim == 2 or found.shape[2] == 3
            images += 1
        assert time.monotonic() - start < MOST_SECONDS, content
    assert min(images, sentences) > 10


@pytest.mark.parametrize("content", list(seeds()), ids=lambda content: str(len(content)))
def test_every_seed_of_the_fuzz_is_read(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert photographs.read_photograph(tmp_path / "a").pixels.std() > 0


LIMITED = """import sys
from pathlib import Path
from memnet.protocol import photographs
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        photographs.read_photograph(path)
    except (ValueError, MemoryError):
        pass
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's own memory is read from /proc")
def test_files_whose_headers_lie_take_little_memory(tmp_path):
    for number, content in enumerate(seeds()):
        for place, claim in ((16, ">II"), (18, "<II"), (6, "<HH"), (12, "<HH"), (24, "<HH"), (4, ">II"), (8, "<HH")):
            lying = bytearray(content)
            size = struct.pack(claim, 15_000, 15_000)
            lying[place : place + len(size)] = size
            (tmp_path / f"{number}-{place}-{claim[1]}").write_bytes(with_checksums(bytes(lying)))
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT, check=True, timeout=200)
    assert int(done.stdout) * 1024 < MOST_BYTES
