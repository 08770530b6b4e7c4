"""The fuzz of tests/fuzz.py, for a second a target; `make fuzz` runs it for minutes."""

import struct
import subprocess
import sys
import time
from collections import Counter

import fuzz
import pytest

from memnet import paths
from memnet.protocol import photographs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_damaged_inputs_end_well(tmp_path, name):
    (tmp_path / name).mkdir()
    target, outcomes, end, number = fuzz.TARGETS[name](tmp_path / name), Counter(), time.monotonic() + 1.5, 0
    while time.monotonic() < end or number < 20:
        outcomes[fuzz.attempt(target, 0, number)] += 1
        number += 1
    assert outcomes["refused"] > 0


class Wrong(fuzz.Files):
    """A reader that falls short in several ways."""

    name = "wrong"

    def make(self):
        (self.folder / "a").write_bytes(bytes(range(200)))

    def read(self, path):
        content = path.read_bytes()
        if len(content) < 200:
            raise self.error
        return content if self.copies else 200


@pytest.mark.parametrize(
    ("copies", "error", "reason"),
    [
        (True, ValueError("FOLDER/a: too short"), "another result without a word"),
        (False, ValueError("too short"), "does not name the file"),
        (False, ValueError("FOLDER/a:\ntoo short"), "more than one line"),
        (False, KeyError("length"), "KeyError"),
    ],
)
def test_what_falls_short_is_found_with_how_to_try_it_again(tmp_path, copies, error, reason):
    Wrong.copies = copies
    Wrong.error = type(error)(str(error.args[0]).replace("FOLDER", str(tmp_path)))
    target = Wrong(tmp_path)
    with pytest.raises(fuzz.FallsShort, match=rf"python tests/fuzz\.py wrong --seed 0 --number \d+: .*{reason}"):
        [fuzz.attempt(target, 0, number) for number in range(200)]


def test_every_image_of_the_fuzz_is_read(tmp_path):
    for number, (_, content) in enumerate(fuzz.image_files()):
        (tmp_path / str(number)).write_bytes(content)
        assert photographs.read_photograph(tmp_path / str(number)).pixels.std() > 0


LIMITED = """import sys
from pathlib import Path
from memnet.protocol import photographs
refused = 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        photographs.read_photograph(path)
    except ValueError:
        refused += 1
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(refused, peak.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's own memory is read from /proc")
def test_files_whose_headers_lie_take_little_memory(tmp_path):
    for number, (_, content) in enumerate(fuzz.image_files()):
        for place, claim in ((16, ">II"), (18, "<II"), (6, "<HH"), (12, "<HH"), (24, "<HH"), (4, ">II"), (8, "<HH")):
            lying = bytearray(content)
            size = struct.pack(claim, 15_000, 15_000)
            lying[place : place + len(size)] = size
            (tmp_path / f"{number}-{place}-{claim[1]}").write_bytes(fuzz.with_checksums(bytes(lying)))
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT, check=True, timeout=200)
    refused, kibibytes = map(int, done.stdout.split())
    assert refused > 0
    assert kibibytes * 1024 < fuzz.MOST_BYTES
