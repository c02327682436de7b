"""Weights files: of every stage, and of a version of this project that had fewer keys."""

from dataclasses import replace

import pytest
import torch

from smgicnet import cli
from smgicnet.config.blocks import stage_block
from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.methods.weights import Weights, read_weights, write_weights
from tests.support.faults import Payload
from tests.support.images import SHAPE, blobs
from tests.support.methods import LEARNED, block, build


@pytest.mark.parametrize(
    ("kind", "stage"), [(kind, stage) for kind in LEARNED for stage in range(1, len(block(kind)["stages"]) + 1)]
)
def test_weights_of_every_stage_are_read(kind, stage, tmp_path):
    """A stage's file has the block as far as the stage depends on it: fewer stages than a config may have."""
    method = build(kind, stage)
    write_weights(
        Weights(stage_block(block(kind), stage), stage, Grid(SHAPE, 1.0), method.network.state_dict()),
        tmp_path / "w.pt",
    )
    read = read_weights(tmp_path / "w.pt").build()
    assert torch.equal(read.register(blobs(1), blobs(2)).forward, method.register(blobs(1), blobs(2)).forward)


def test_weights_from_before_a_key_was_there_are_read(tmp_path):
    part = block()
    del part["refinement"], part["network"]["antisymmetric"]
    method = build()
    old = Weights(part, 4, Grid(SHAPE, 1.0), method.network.state_dict())
    write_weights(old, tmp_path / "w.pt")
    read = read_weights(tmp_path / "w.pt")
    assert read.block == replace(old, block=block()).block
    assert torch.equal(read.build().register(blobs(1), blobs(2)).forward, method.register(blobs(1), blobs(2)).forward)


def test_how_it_registers_is_the_configs_and_not_the_files(tmp_path):
    method = build()
    write_weights(Weights(block(), 4, Grid(SHAPE, 1.0), method.network.state_dict()), tmp_path / "w.pt")
    weights = read_weights(tmp_path / "w.pt")
    refined = weights.build({"refinement": {**block()["refinement"], "iterations": 3}})
    assert refined.refinement.iterations == 3
    assert weights.build().refinement.iterations == 0


def test_weights_in_half_precision(tmp_path, capsys):
    method = build()
    write_weights(Weights(block(), 4, Grid(SHAPE, 1.0), method.network.state_dict()), tmp_path / "w.pt")
    assert cli.main(["export-weights", str(tmp_path / "w.pt"), str(tmp_path / "half.pt")]) == 0
    assert str(tmp_path / "half.pt") in capsys.readouterr().out
    sizes = [(tmp_path / name).stat().st_size for name in ("w.pt", "half.pt")]
    assert sizes[1] < 0.7 * sizes[0]
    half = read_weights(tmp_path / "half.pt")
    assert {tensor.dtype for tensor in half.network.values()} == {torch.float32}
    fields = [one.register(blobs(1), blobs(2)).forward for one in (method, half.build())]
    assert 0 < (fields[0] - fields[1]).abs().max() < 0.05


def test_weights_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {"text": "x", "tensors": {"a": torch.zeros(2)}, "payload": Payload()}.items():
        torch.save(content, tmp_path / f"{name}.pt")
        with pytest.raises(InputError, match="not a weights file"):
            read_weights(tmp_path / f"{name}.pt")
    assert not (tmp_path / "run-by-unpickling").exists()
    with pytest.raises(InputError, match="no such weights"):
        read_weights(tmp_path / "none.pt")


def test_weights_of_which_a_byte_is_another(tmp_path):
    """torch.load compares no checksum: another number would be taken in silence."""
    path, network = tmp_path / "w.pt", build().network.state_dict()
    write_weights(Weights(block(), 4, Grid(SHAPE, 1.0), network), path)
    content = bytearray(path.read_bytes())
    values = max(network.values(), key=torch.numel).numpy().tobytes()
    content[content.index(values)] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(InputError, match="not a weights file"):
        read_weights(path)


def test_the_same_settings_are_the_same_bytes_whatever_a_config_shares(tmp_path):
    """YAML's anchors make one object of what is written once; a file must not tell."""
    shared = "".join(["ra", "w"])
    blocks = {"one": {"a": [shared, shared], "b": shared}, "other": {"a": ["".join("raw"), "".join("raw")], "b": "raw"}}
    for name, more in blocks.items():
        weights = Weights({**block(), "more": more}, 4, Grid(SHAPE, 8.0), {"x": torch.zeros(3)})
        write_weights(weights, tmp_path / f"{name}.pt")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()
