"""Weights and training states on disk."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save as save_tensors

from memnet import paths
from memnet.network import checkpoints
from memnet.network.model import Config, PlainConfig, build

TINY = Config(2, 2, channels=4, long_term=False)


@pytest.mark.parametrize("config", [TINY, PlainConfig(3, 4, skip=True)])
def test_weights_come_back_with_configuration_and_history(tmp_path, config):
    model, path = build(config), tmp_path / "a.safetensors"
    checkpoints.save(path, model, history={"run": "x", "stages": [{"steps": 3}]})
    loaded, history = checkpoints.load(path)
    assert loaded.config == config
    assert not loaded.training
    assert history == {"run": "x", "stages": [{"steps": 3}]}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_hash_names_the_weights_and_not_the_history(tmp_path):
    model = build(TINY)
    checkpoints.save(tmp_path / "a", model, history={"run": "a"})
    checkpoints.save(tmp_path / "b", model, history={"run": "b"})
    first = checkpoints.weights_hash(tmp_path / "a")
    assert first == checkpoints.weights_hash(tmp_path / "b")
    with torch.no_grad():
        model.fenet[2].bias[0] += 1e-6
    checkpoints.save(tmp_path / "b", model, history={"run": "b"})
    assert first != checkpoints.weights_hash(tmp_path / "b")


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no weights at .*none"):
        checkpoints.load(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="text cannot be read as safetensors"):
        checkpoints.load(tmp_path / "text")
    checkpoints.write_tensors(tmp_path / "foreign", {"w": torch.zeros(1)}, {"format": "pt"})
    with pytest.raises(ValueError, match="foreign is no MemNet checkpoint"):
        checkpoints.load(tmp_path / "foreign")


def test_state_is_split_into_files_that_can_travel_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("memnet.network.checkpoints.SHARD_BYTES", 1000)
    tensors = {f"t{i:02}": torch.full((100,), float(i)) for i in range(10)}
    checkpoints.save_state(tmp_path / "s", tensors, {"step": 4})
    assert len(list((tmp_path / "s").glob("*.safetensors"))) == 5
    loaded, meta = checkpoints.load_state(tmp_path / "s")
    assert meta == {"step": 4}
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_state_survives_a_stop_between_its_renames(tmp_path):
    checkpoints.save_state(tmp_path / "s", {"t": torch.ones(1)}, {"step": 1})
    (tmp_path / "s").rename(tmp_path / "s.old")
    assert checkpoints.load_state(tmp_path / "s")[1] == {"step": 1}
    checkpoints.save_state(tmp_path / "s", {"t": torch.ones(1)}, {"step": 2})
    assert checkpoints.load_state(tmp_path / "s")[1] == {"step": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


def test_missing_state_is_said(tmp_path):
    with pytest.raises(ValueError, match="without --resume"):
        checkpoints.load_state(tmp_path / "none")


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    checkpoints.save(tmp_path / "a", build(TINY), history={"run": "a"})
    checkpoints.save_state(tmp_path / "s", {"t": torch.ones(1)}, {"step": 1})
    before = checkpoints.weights_hash(tmp_path / "a")

    def full(path, content):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match=r"a cannot be written, what was there before is kept: .*No space left"):
        checkpoints.save(tmp_path / "a", build(TINY), history={"run": "b"})
    with pytest.raises(ValueError, match="s cannot be written, the state before is kept"):
        checkpoints.save_state(tmp_path / "s", {"t": torch.zeros(1)}, {"step": 2})
    assert checkpoints.weights_hash(tmp_path / "a") == before
    assert checkpoints.load_state(tmp_path / "s")[1] == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "s"]


def test_a_network_of_an_unknown_kind_is_refused(tmp_path):
    class Other(torch.nn.Linear):
        config = Config(1, 1, channels=2)

    checkpoints.save(tmp_path / "a.safetensors", Other(1, 1), history={})
    with pytest.raises(ValueError, match="not known here"):
        checkpoints.load(tmp_path / "a.safetensors")


def test_tensors_of_another_network_are_refused_in_one_line(tmp_path):
    network = build(Config(1, 1, channels=2))
    network.config = Config(2, 1, channels=2)
    checkpoints.save(tmp_path / "a.safetensors", network, history={})
    with pytest.raises(ValueError, match="does not hold the tensors of its network") as refused:
        checkpoints.load(tmp_path / "a.safetensors")
    assert "\n" not in str(refused.value)


def test_the_state_beside_is_kept_until_another_is_whole(tmp_path, monkeypatch):
    state = tmp_path / "a.state"
    checkpoints.save_state(state, {"x": torch.zeros(1)}, {"step": 1})
    state.rename(tmp_path / "a.state.old")  # as when writing was stopped between the two renames
    with monkeypatch.context() as patched:
        patched.setattr(type(state), "rename", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save_state(state, {"x": torch.ones(1)}, {"step": 2})
    assert checkpoints.load_state(state)[1] == {"step": 1}
    checkpoints.save_state(state, {"x": torch.ones(1)}, {"step": 2})
    assert checkpoints.load_state(state)[1] == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.state"]


def test_a_state_without_one_of_its_files_is_named(tmp_path):
    folder = tmp_path / "a.state"
    checkpoints.save_state(folder, {"x": torch.arange(50.0)}, {"step": 7})
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(ValueError, match=r"a\.state"):
            checkpoints.load_state(folder)
        path.write_bytes(data)
    assert checkpoints.load_state(folder)[1] == {"step": 7}


@pytest.mark.parametrize("content", [{}, {"files": None, "meta": {}}, {"files": [], "more": {}}])
def test_a_state_with_other_parts_is_named(tmp_path, content):
    content = {"format": checkpoints.STATE_FORMAT, **content}
    (tmp_path / "state.json").write_text(json.dumps({**content, "sha256": checkpoints.json_hash(content)}))
    with pytest.raises(ValueError, match=r"state\.json is broken"):
        checkpoints.load_state(tmp_path)


def test_parts_of_two_states_are_no_state(tmp_path):
    for step in (1, 2):
        checkpoints.save_state(tmp_path / str(step), {"x": torch.full((3,), float(step))}, {"step": step})
    (tmp_path / "1" / "00.safetensors").write_bytes((tmp_path / "2" / "00.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"00\.safetensors is broken: it is of another training state"):
        checkpoints.load_state(tmp_path / "1")


def test_a_state_is_on_the_disk_before_the_one_before_goes(tmp_path, monkeypatch):
    events, state = [], tmp_path / "a.state"
    checkpoints.save_state(state, {"x": torch.zeros(1)}, {"step": 1})
    sync, rmtree = checkpoints.paths.sync, checkpoints.shutil.rmtree
    monkeypatch.setattr("memnet.paths.sync", lambda path: events.append(f"sync {path.name}") or sync(path))

    def remove(path, **how):
        if path.exists():
            events.append(f"remove {path.name}")
        rmtree(path, **how)

    monkeypatch.setattr("memnet.network.checkpoints.shutil.rmtree", remove)
    checkpoints.save_state(state, {"x": torch.ones(1)}, {"step": 2})
    assert events[-2:] == [f"sync {tmp_path.name}", "remove a.state.old"]
    assert events.count("sync a.state.new") == 2  # after its tensors and after state.json


def test_weights_without_a_hash_are_refused(tmp_path):
    path = tmp_path / "old.safetensors"
    metadata = {
        "format": checkpoints.FORMAT,
        "network": json.dumps({"class": "MemNet", **asdict(TINY)}),
        "history": "{}",
    }
    path.write_bytes(save_tensors(build(TINY).state_dict(), metadata))
    with pytest.raises(ValueError, match=r"old\.safetensors is broken: its hash"):
        checkpoints.load(path)


def test_all_shipped_weights_carry_their_hash():
    for path in paths.WEIGHTS.glob("*.safetensors"):
        assert "sha256" in checkpoints.read_tensors(path)[1], path.name


def test_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        checkpoints.save(tmp_path / "a.safetensors", build(TINY), history={})
        checkpoints.save_state(tmp_path / "s", {"x": torch.ones(1)}, {})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a.safetensors", *(tmp_path / "s").iterdir())} == {
        0o644
    }


def test_loading_weights_needs_no_compiler(tmp_path):
    """torch's compiler takes a second to load, and a temporary folder, which a full disk does not give."""
    checkpoints.save(tmp_path / "a.safetensors", build(TINY), history={})
    script = "import sys\nfrom memnet.network import checkpoints\ncheckpoints.load(sys.argv[1])\n"
    script += "assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.safetensors"], cwd=paths.ROOT, check=True)
