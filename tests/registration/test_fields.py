"""Fields against closed forms and SciPy."""

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from smgicnet.registration import fields

SHAPE = (10, 12, 14)


def affine_field(matrix, offset, shape, factors=(1.0, 1.0, 1.0), dtype=torch.float64):
    """Displacement of x -> M x + offset in fine voxels, on a grid coarser by ``factors``, in its own voxels."""
    factors = torch.tensor(factors, dtype=dtype).view(3, 1, 1, 1)
    cells = (fields.identity_grid(shape, dtype=dtype)[0] + 0.5) * factors - 0.5
    moved = torch.einsum("ij,jxyz->ixyz", matrix.to(dtype), cells) + torch.as_tensor(offset, dtype=dtype).view(
        3, 1, 1, 1
    )
    return (moved - cells)[None] / factors


def smooth_velocity(shape=(24, 24, 24), scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 4, 4, 4, generator=generator, dtype=torch.float64) * scale
    window = [torch.sin(torch.linspace(0, torch.pi, n, dtype=torch.float64)) for n in shape]
    return fields.resample(coarse, shape) * torch.einsum("a,b,c->abc", *window)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_integer_translation_is_a_shifted_slice(axis):
    image = torch.rand(1, 2, *SHAPE)
    u = torch.zeros(1, 3, *SHAPE)
    u[:, axis] = 3
    warped = fields.warp(image, u)
    expected = torch.zeros_like(image)
    length = SHAPE[axis]
    expected.narrow(axis + 2, 0, length - 3).copy_(image.narrow(axis + 2, 3, length - 3))
    torch.testing.assert_close(warped, expected, atol=1e-5, rtol=0)


def test_warp_agrees_with_scipy():
    rng = np.random.default_rng(0)
    image, u = rng.random(SHAPE), rng.normal(0, 2, (3, *SHAPE))
    points = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")) + u
    for padding, mode in (("border", "nearest"), ("zeros", "grid-constant")):
        expected = map_coordinates(image, points, order=1, mode=mode)
        warped = fields.warp(torch.tensor(image)[None, None], torch.tensor(u)[None], padding=padding)[0, 0]
        np.testing.assert_allclose(warped.numpy(), expected, atol=1e-9)


def test_nearest_warp_keeps_labels():
    labels = torch.randint(0, 60, (1, 1, *SHAPE)).float()
    u = torch.full((1, 3, *SHAPE), 0.4)
    torch.testing.assert_close(fields.warp(labels, u, mode="nearest"), labels)


def test_warp_refuses_another_grid():
    with pytest.raises(ValueError, match="differ"):
        fields.warp(torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 3, 8, 8, 8))


@pytest.mark.parametrize(("pairs", "threads"), [(1, 2), (1, 3), (1, 7), (2, 5)])
def test_a_warp_is_the_same_on_any_number_of_threads(pairs, threads):
    """Where a pair's grid is cut into slabs, where it cannot be, and where there are several pairs."""
    image, u = torch.rand(pairs, 2, *SHAPE), smooth_velocity(SHAPE).float().repeat(pairs, 1, 1, 1, 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = fields.warp(image, u)
        torch.set_num_threads(threads)
        assert torch.equal(fields.warp(image, u), alone)
        image.requires_grad_()
        assert fields.warp(image, u).requires_grad
    finally:
        torch.set_num_threads(before)


def test_compose_is_first_w_then_u():
    matrix = torch.tensor([[1.0, 0.1, 0], [0, 1, 0], [0, 0, 1]])
    u = affine_field(matrix, [0, 0, 0], SHAPE)
    w = torch.zeros(1, 3, *SHAPE, dtype=torch.float64)
    w[:, 1] = 2.0
    composed = fields.compose(u, w)
    inside = (slice(None), slice(None), slice(None), slice(0, SHAPE[1] - 2))
    expected = w + u + 0.1 * 2.0 * torch.tensor([1.0, 0, 0], dtype=torch.float64).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(composed[inside], expected[inside])


def test_exp_of_minus_v_is_the_inverse():
    v = smooth_velocity()
    assert v.abs().max() > 3
    error = fields.compose(fields.exp(v), fields.exp(-v)).norm(dim=1)
    assert error.max() < 0.4  # voxel; the field bends from cell to cell
    assert error.mean() < 0.03
    assert fields.compose(fields.exp(v), -fields.exp(v)).norm(dim=1).mean() > 5 * error.mean()


def test_exp_of_a_constant_is_a_translation():
    v = torch.zeros(1, 3, *SHAPE)
    v[:, 2] = 1.5
    torch.testing.assert_close(fields.exp(v), v)


def test_exp_keeps_orientation_where_adding_folds():
    v = smooth_velocity(scale=8.0, seed=3)
    assert (fields.jacobian_determinant(v) <= 0).any()
    assert (fields.jacobian_determinant(fields.exp(v)) > 0).all()


@pytest.mark.parametrize(
    ("small", "large"), [((4, 5, 6), (8, 10, 12)), ((4, 4, 4), (12, 12, 12)), ((3, 4, 5), (6, 4, 15))]
)
def test_resize_of_an_affine_field_is_exact_both_ways(small, large):
    matrix = torch.eye(3) + 0.1 * torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    factors = [b / a for a, b in zip(small, large)]
    coarse, fine = affine_field(matrix, [1, -2, 0.5], small, factors), affine_field(matrix, [1, -2, 0.5], large)
    torch.testing.assert_close(fields.resize(coarse, large), fine)
    torch.testing.assert_close(fields.resize(fine, small), coarse)
    constant = torch.ones(1, 3, *small, dtype=torch.float64)
    scaled = fields.resize(constant, large)
    for axis in range(3):
        assert scaled[0, axis].unique().item() == pytest.approx(large[axis] / small[axis])


def test_resampling_keeps_its_precision_where_convolutions_do_not():
    field = torch.rand(1, 3, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = fields.resize(field, (8, 12, 7))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fields.resize(field, (8, 12, 7)), expected)


def test_resample_follows_the_haar_grid():
    fine = torch.rand(1, 1, 8, 8, 8, dtype=torch.float64)
    haar = torch.nn.functional.avg_pool3d(fine, 2)
    torch.testing.assert_close(fields.resample(fine, (4, 4, 4)), haar)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, -0.3])
def test_jacobian_of_a_scaling(scale):
    u = affine_field(scale * torch.eye(3), [0, 0, 0], SHAPE)
    determinant = fields.jacobian_determinant(u)
    torch.testing.assert_close(determinant, torch.full((1, *SHAPE), scale**3, dtype=torch.float64))


def test_jacobian_of_a_general_affine():
    matrix = torch.eye(3) + 0.3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    determinant = fields.jacobian_determinant(affine_field(matrix, [1, 2, 3], SHAPE))
    torch.testing.assert_close(
        determinant, torch.full((1, *SHAPE), torch.linalg.det(matrix.double()).item(), dtype=torch.float64)
    )


def test_affine_displacement_turns_about_the_centre():
    turn = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    u = fields.affine_displacement(turn, torch.zeros(1, 3), (5, 5, 5))
    assert u[0, :, 2, 2, 2].abs().max() == 0
    torch.testing.assert_close(u[0, :, 4, 2, 2], torch.tensor([-2.0, 2.0, 0.0]))


def test_gradients_flow_through_exp():
    v = smooth_velocity((6, 6, 6), 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fields.exp(x, 2).square().sum(), v, atol=1e-4, fast_mode=True)


def test_compose_affine_is_exact():
    matrix = torch.tensor([[1.1, 0.1, 0, 2], [-0.1, 0.9, 0.05, -1], [0, 0.02, 1.2, 0.5], [0, 0, 0, 1.0]])
    u = torch.randn(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    phi = (fields.identity_grid((4, 5, 6)) + u)[0].reshape(3, -1)
    expected = (matrix[:3, :3] @ phi + matrix[:3, 3:]).reshape(1, 3, 4, 5, 6) - fields.identity_grid((4, 5, 6))
    torch.testing.assert_close(fields.compose_affine(matrix, u), expected)
    torch.testing.assert_close(
        fields.affine_field(matrix, (4, 5, 6)), fields.compose_affine(matrix, torch.zeros_like(u))
    )
    determinant = torch.linalg.det(matrix[:3, :3])
    torch.testing.assert_close(
        fields.jacobian_determinant(fields.affine_field(matrix, (4, 5, 6))),
        determinant.expand(1, 4, 5, 6),
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "AIR"])
def test_orientations(codes):
    """Warping in other axes and coming back is warping in RAS axes by the field that came back."""
    image = torch.rand(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    turned = fields.to_orientation(image, codes)
    nifti = nib.Nifti1Image(image[0, 0].numpy(), np.eye(4))
    to_codes = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt(codes))
    np.testing.assert_array_equal(turned[0, 0], nifti.as_reoriented(to_codes).get_fdata(dtype=np.float32))
    u = torch.randn(1, 3, *turned.shape[2:], generator=torch.Generator().manual_seed(1))
    back = fields.warp(image, fields.from_orientation(u, codes), padding="border")
    torch.testing.assert_close(
        fields.to_orientation(back, codes), fields.warp(turned, u, padding="border"), rtol=1e-4, atol=1e-4
    )


def test_a_jacobian_by_slabs_is_that_of_the_whole_grid():
    """On a grid of several slabs, of which each needs a slice of its neighbours."""
    u = smooth_velocity((2 * fields.SLAB + 3, 6, 7))
    a, b, c = (torch.stack(torch.gradient(u[0, i], dim=(0, 1, 2))) for i in range(3))
    matrix = torch.stack([a, b, c]).permute(2, 3, 4, 0, 1) + torch.eye(3, dtype=u.dtype)
    torch.testing.assert_close(fields.jacobian_determinant(u)[0], torch.linalg.det(matrix))


def test_a_flow_is_exp_of_its_velocity_and_halfway_of_its_half():
    v = smooth_velocity((8, 10, 12), 1.0)
    flow = fields.Flow(v, 6, recompute=False)
    torch.testing.assert_close(flow.displacement, fields.exp(v, 6))
    assert torch.equal(flow.halfway, fields.exp(v / 2, 5))
    finer = flow.on_grid((16, 20, 24))
    torch.testing.assert_close(finer.displacement, fields.resize(fields.exp(v, 6), (16, 20, 24)))
    torch.testing.assert_close(finer.halfway, fields.resize(flow.halfway, (16, 20, 24)))
    assert torch.equal(finer.velocity, fields.resize(v, (16, 20, 24)))
