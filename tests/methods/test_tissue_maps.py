"""The maps of tissues that a refinement compares, and the weights that come with the package."""

import json

import pytest
import torch

from smgicnet.core.files import packaged
from smgicnet.methods.tissues import COMPARED, FLUID, SHIPPED, read_tissues, shipped_tissues
from smgicnet.registration.tissue_network import TissueNetwork
from smgicnet.training.tissues import write_tissues

CPU = torch.device("cpu")


def test_each_map_is_the_sum_of_its_tissues_by_the_root_of_their_weights(tmp_path):
    torch.manual_seed(0)
    names = sorted({name for weights in COMPARED for name in weights} | {"Brain-Stem"})
    network = TissueNetwork([False] * len(names)).eval()
    write_tissues(network, names, tmp_path / "t.pt")
    made = read_tissues(tmp_path / "t.pt", CPU)
    image = torch.rand(1, 1, 16, 16, 16)
    named = dict(zip(names, made.network.maps(image)[0], strict=True))
    for found, weights in zip(made(image)[0], COMPARED, strict=True):
        expected = sum(named[name] * weight**0.5 for name, weight in weights.items())
        torch.testing.assert_close(found, expected)


def test_no_tissue_is_in_two_maps_and_fluids_count_more():
    listed = [name for weights in COMPARED for name in weights]
    assert len(listed) == len(set(listed))
    assert {name for weights in COMPARED for name, weight in weights.items() if weight == FLUID} == {
        "Lateral-Ventricle",
        "Inf-Lat-Vent",
        "3rd-Ventricle",
        "4th-Ventricle",
    }


def test_what_is_written_is_read_again(tmp_path):
    network = TissueNetwork([True, False], widths=(16, 32, 64, 96)).eval()
    network.prior.copy_(torch.rand_like(network.prior))
    write_tissues(network, ["Caudate", "CSF"], tmp_path / "t.pt")
    again = read_tissues(tmp_path / "t.pt", CPU).network
    assert (again.prior - network.prior).abs().max() <= 0.5 / 255 + 1e-6
    image = torch.rand(1, 1, 8, 8, 8)
    torch.testing.assert_close(again.maps(image), network.maps(image), atol=2e-2, rtol=0)


def test_the_shipped_network_knows_every_tissue_that_is_compared_and_has_its_record():
    maps = shipped_tissues(CPU)
    assert maps.shares.shape[0] == len(COMPARED)
    assert torch.count_nonzero(maps.shares) == sum(map(len, COMPARED))
    record = json.loads(packaged(SHIPPED).with_suffix(".json").read_text())
    last = record["history"][-1]
    scores = [value for name, value in last.items() if name not in ("step", "loss")]
    assert sum(scores) / len(scores) > 0.7
    assert f"{sum(scores) / len(scores):.3f}" in packaged(SHIPPED).with_suffix(".md").read_text()


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_a_blank_image_has_no_caudate(axis):
    maps = shipped_tissues(CPU)(torch.zeros(1, 1, *(20 + 2 * (axis == one) for one in (2, 3, 4))))
    assert maps[0, 2].abs().mean() < 0.2
