"""Any number answers: what made a cell of a committed table."""

import re

import pytest

from memnet.publishing import why
from memnet.study import registry, store


def test_a_cell_names_its_weights_images_protocol_command_and_measuring():
    text = why.why("3", "S14", 30, "MemNet")
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()}
    assert re.fullmatch(r"\d\d\.\d\d dB / 0\.\d{4}", facts["here"])
    run, weights = re.fullmatch(r"data/weights/(\S+)\.safetensors ([0-9a-f]{16})", facts["weights"]).groups()
    assert registry.experiment(run).task == "denoising"
    key, rows = store.read_rows(store.file_of(run, "S14", 30))
    assert facts["measured"].startswith(key["date"])
    assert f"{rows.psnr.mean():.2f} dB" in facts["here"]
    assert facts["images"] == f"S14 {key['images']}, 14 measured"
    assert facts["command"] == f"memnet evaluate {run} --dataset S14 --level 30"
    assert weights == key["weights"]


def test_cells_without_a_network_say_so():
    assert "not measured here" in why.why("table3", "S14", 30, "EPLL")
    assert "the degraded image" in why.why("table3", "S14", 30, "Noisy")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (("9", "S14", 30, "MemNet"), "no .*table9.csv"),
        (("3", "Set5", 30, "MemNet"), "nothing on Set5 at level 30: it has .*S14 30"),
        (("3", "S14", 31, "MemNet"), "nothing on S14 at level 31"),
        (("3", "S14", 30, "Memnet"), "no method 'Memnet': it has .*MemNet"),
    ],
)
def test_a_cell_that_is_not_there_is_said_with_what_there_is(cell, reason):
    with pytest.raises(ValueError, match=reason):
        why.why(*cell)
