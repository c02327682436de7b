"""The network that names tissues: shapes, the frame that it knows, and left and right."""

import torch

from smgicnet.registration.tissue_network import PRIOR, TissueNetwork, in_frame

SIDED = [True, False, True]


def network():
    torch.manual_seed(0)
    made = TissueNetwork(SIDED, widths=(4, 6, 8)).eval()
    made.prior.copy_(torch.rand(1, len(SIDED), *(PRIOR,) * 3))
    return made


def test_places_fill_the_frame():
    places = in_frame((4, 2, 5))
    assert places.shape == (1, 3, 4, 2, 5)
    assert places[0, 0, :, 0, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert places.mean().abs() < 1e-6


@torch.no_grad()
def test_grids_of_any_shape_are_named_voxel_by_voxel():
    image = torch.rand(1, 1, 13, 10, 11)
    logits, left = network()(image, in_frame(image.shape[2:]))
    assert logits.shape == (1, 4, 13, 10, 11)
    assert left.shape == (1, 1, 13, 10, 11)


@torch.no_grad()
def test_maps_are_probabilities_with_the_sign_of_the_side():
    image = torch.rand(1, 1, 8, 10, 12)
    made = network()
    maps = made.maps(image)
    logits, left = made(image, in_frame(image.shape[2:]))
    probable = torch.softmax(logits, 1)[:, 1:]
    assert maps.shape == (1, 3, 8, 10, 12)
    assert (maps.abs() <= probable + 1e-6).all()
    torch.testing.assert_close(maps[:, 1], probable[:, 1])  # no side
    torch.testing.assert_close(maps[:, 0].sign(), left[:, 0].sign())


@torch.no_grad()
def test_where_a_voxel_is_in_the_frame_counts():
    image = torch.full((1, 1, 8, 8, 8), 0.5)
    logits, _ = network()(image, in_frame((8, 8, 8)))
    assert (logits[..., 2:6, 2:6, 2:6].flatten(2).std(2) > 1e-3).all()
