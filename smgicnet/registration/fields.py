"""Displacement and velocity fields: the only place that knows the coordinate convention.

An array is ``(N, C, D, H, W)``. A displacement ``u`` is ``(N, 3, D, H, W)`` in voxels, its components in
array-axis order, and pulls back: ``phi(x) = x + u(x)`` and ``warped(x) = moving(x + u(x))``.
A voxel is a cell: voxel ``i`` of a grid of half the size covers voxels ``2i`` and ``2i + 1``, as it does in the
low-pass band of a Haar wavelet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

SLAB = 8  # the Jacobian is computed for so many slices of a field at a time


def identity_grid(
    shape: Sequence[int], *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the voxel coordinates ``(1, 3, D, H, W)`` of a grid: component ``c`` is the index along axis ``c``."""
    axes = [torch.arange(n, device=device, dtype=dtype) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


# A CUDA graph looks for a recorded tensor in the same place: a training must not drop anything from these caches.


@cache
def per_axis(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a number for each axis as ``(1, 3, 1, 1, 1)``. It is cached, as a copy to a GPU makes the program wait."""
    return torch.tensor(values, device=device, dtype=dtype).view(1, 3, 1, 1, 1)


@lru_cache(maxsize=16)  # the tensors are large; a training has one grid for each level and a few more
def _sampling_grid(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the identity in the coordinates of ``grid_sample`` and the factor from voxels to these, both xyz-last."""
    extent = torch.tensor([max(n - 1, 1) for n in shape], device=device, dtype=dtype)
    scale = 2 / extent.flip(0)
    identity = identity_grid(shape, device=device, dtype=dtype).movedim(1, -1).flip(-1) * scale - 1
    return identity, scale


def warp(image: Tensor, displacement: Tensor, *, mode: str = "bilinear", padding: str = "zeros") -> Tensor:
    """Warp an image: ``warped(x) = image(x + u(x))``.

    Parameters
    ----------
    image : ``(N, C, D, H, W)``
    displacement : ``(N, 3, D, H, W)`` in voxels, on the same grid
    mode : ``"bilinear"`` (trilinear, for images and fields) or ``"nearest"`` (for labels)
    padding : value outside the image: ``"zeros"`` or ``"border"`` (the nearest voxel's)

    Returns ``(N, C, D, H, W)``. Raises ``ValueError`` if the two grids differ: only `resize` brings a field to another.
    """
    if image.shape[2:] != displacement.shape[2:]:
        raise ValueError(f"image grid {tuple(image.shape[2:])} and field grid {tuple(displacement.shape[2:])} differ")
    identity, scale = _sampling_grid(tuple(displacement.shape[2:]), displacement.device, displacement.dtype)
    grid = torch.addcmul(identity, displacement.flip(1).movedim(1, -1), scale)
    sample = partial(F.grid_sample, mode=mode, padding_mode=padding, align_corners=True)
    return sampled(sample, image.to(grid.dtype), grid)


def sampled(sample: Callable[[Tensor, Tensor], Tensor], image: Tensor, grid: Tensor) -> Tensor:
    """Return ``sample(image, grid)``.

    On a CPU ``grid_sample`` gives each entry of a batch to one thread. Where no gradient is needed, the grid is cut
    into slabs that are passed as entries, so that all threads have work.
    """
    differentiated = torch.is_grad_enabled() and (image.requires_grad or grid.requires_grad)
    count, depth = grid.shape[:2]
    slabs = math.gcd(torch.get_num_threads(), depth)
    if grid.is_cuda or differentiated or count >= torch.get_num_threads() or slabs == 1:
        return sample(image, grid)
    entries = zip(image.split(1), grid.split(1), strict=True)
    parts = [sample(one.expand(slabs, -1, -1, -1, -1), at[0].unflatten(0, (slabs, -1))) for one, at in entries]
    return torch.stack([part.transpose(0, 1).flatten(1, 2) for part in parts])


def compose(u: Tensor, w: Tensor) -> Tensor:
    """Return the displacement of ``phi_u o phi_w``: ``w(x) + u(x + w(x))``.

    ``u``, ``w`` and the result are ``(N, 3, D, H, W)`` in voxels; beyond the grid ``u`` keeps its border value.
    """
    return w + warp(u, w, padding="border")


def exp(velocity: Tensor, steps: int = 7, *, recompute: bool = False) -> Tensor:
    """Return the displacement of ``exp(v)`` by scaling and squaring.

    The steps are ``phi_0 = id + v / 2^T`` and ``phi_k = phi_(k-1) o phi_(k-1)``; the inverse is ``exp(-v)``.

    Parameters
    ----------
    velocity : ``(N, 3, D, H, W)`` in voxels per unit time
    steps : the number T of squarings (7 in Section 3.2 of the paper)
    recompute : whether the backward pass computes the squarings again instead of keeping them in memory

    Returns ``(N, 3, D, H, W)`` in voxels.
    """
    displacement: Tensor
    if recompute and torch.is_grad_enabled():
        displacement = checkpoint(exp, velocity, steps, use_reentrant=False, preserve_rng_state=False)
        return displacement
    displacement = velocity * 0.5**steps
    for _ in range(steps):
        displacement = compose(displacement, displacement)
    return displacement


@cache
def _interpolation_matrix(n_in: int, n_out: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the matrix ``(n_out, n_in)`` that interpolates from ``n_in`` cell centres to ``n_out`` ones.

    It is linear, and extrapolates linearly at the ends.
    """
    if n_in == 1:
        return torch.ones(n_out, 1, device=device, dtype=dtype)
    position = (torch.arange(n_out, device=device, dtype=dtype) + 0.5) * (n_in / n_out) - 0.5
    lower = position.floor().clamp(0, n_in - 2)
    fraction = (position - lower)[:, None]
    lower = lower.long()
    return F.one_hot(lower, n_in) * (1 - fraction) + F.one_hot(lower + 1, n_in) * fraction


def resample(image: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate ``image (N, C, D, H, W)`` linearly at the cell centres of a grid of another ``size``, same extent."""
    for axis, n in enumerate(size, start=2):
        if image.shape[axis] != n:
            matrix = _interpolation_matrix(image.shape[axis], n, image.device, image.dtype)
            with torch.autocast(image.device.type, enabled=False):  # a field keeps its precision
                image = torch.tensordot(image, matrix, dims=([axis], [1])).movedim(-1, axis)
    return image.contiguous()


def resize(field: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a displacement or velocity to a grid of another ``size`` over the same extent, in voxels of the new grid.

    ``field`` is ``(N, 3, D, H, W)``. Component ``c`` is scaled by the ratio of the sizes along axis ``c``.
    The result is exact for affine fields, the border included.
    """
    ratio = tuple(new / old for new, old in zip(size, field.shape[2:], strict=True))
    return resample(field, size) * per_axis(ratio, field.device, field.dtype)


@dataclass(frozen=True)
class Flow:
    """A stationary velocity ``v`` with the displacements of ``exp(v)`` and ``exp(v/2)``, computed when asked for.

    All fields are ``(N, 3, D, H, W)`` in voxels.

    Attributes
    ----------
    velocity : the stationary velocity
    steps : squarings of `exp`
    recompute : passed to `exp`
    coarse : the flow on a coarser grid whose displacements are brought up to this grid; by default None, and `exp`
        computes them from the velocity
    """

    velocity: Tensor
    steps: int
    recompute: bool
    coarse: Flow | None = None

    @cached_property
    def halfway(self) -> Tensor:
        """The displacement of ``exp(v/2)``."""
        if self.coarse:
            return self._brought_up(self.coarse.halfway)
        return exp(self.velocity / 2, self.steps - 1, recompute=self.recompute)

    @cached_property
    def displacement(self) -> Tensor:
        """The displacement of ``exp(v)``."""
        if self.coarse:
            return self._brought_up(self.coarse.displacement)
        return compose(self.halfway, self.halfway)

    def on_grid(self, size: Sequence[int]) -> Flow:
        """Return this flow on a finer grid of the same extent."""
        return Flow(resize(self.velocity, size), self.steps, self.recompute, self)

    def _brought_up(self, field: Tensor) -> Tensor:
        return resize(field, self.velocity.shape[2:])


def compose_affine(matrix: Tensor, displacement: Tensor) -> Tensor:
    """Return the displacement of ``A o phi_u``: ``A(x + u(x)) - x``, without interpolation.

    ``matrix (4, 4)`` maps voxels to voxels, or ``(N, 4, 4)`` those of each entry; ``displacement`` and the result are
    ``(N, 3, D, H, W)`` in voxels.
    """
    identity = identity_grid(displacement.shape[2:], device=displacement.device, dtype=displacement.dtype)
    matrix = matrix.to(displacement).expand(len(displacement), 4, 4)
    with torch.autocast(displacement.device.type, enabled=False):  # a map keeps its precision
        moved = torch.einsum("nij,njdhw->nidhw", matrix[:, :3, :3], identity + displacement)
    return moved + matrix[:, :3, 3, None, None, None] - identity


def affine_field(matrix: Tensor, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return the displacement ``(1, 3, D, H, W)`` in voxels of an affine map ``matrix (4, 4)`` of voxels to voxels."""
    return compose_affine(matrix, torch.zeros(1, 3, *shape, device=device))


def sample_affine(image: Tensor, matrix: Tensor, shape: Sequence[int], *, padding: str = "zeros") -> Tensor:
    """Return ``image(A x)`` for the voxels ``x`` of another grid of this ``shape``, by trilinear interpolation.

    ``image`` is ``(N, C, D, H, W)``, ``matrix (4, 4)`` maps voxels of the other grid to those of the image; the result
    is ``(N, C, *shape)``. ``padding`` is that of `warp`. The values of a field are not changed.
    """
    positions = identity_grid(shape, device=image.device) + affine_field(matrix, shape, image.device)
    found = sample(image, positions.flatten(2).expand(len(image), -1, -1), padding=padding)
    return found.view(*found.shape[:2], *shape)


def sample(image: Tensor, positions: Tensor, *, padding: str = "zeros") -> Tensor:
    """Return ``image`` at ``positions (N, 3, P)`` in its voxels, by trilinear interpolation, as ``(N, C, P)``.

    ``image`` is ``(N, C, D, H, W)``, or a single one for all N. ``padding`` is that of `warp`.
    """
    scale = 2 / positions.new_tensor([max(n - 1, 1) for n in image.shape[2:]])
    grid = (positions.movedim(1, -1) * scale - 1).flip(-1)[:, :, None, None]
    pull = partial(F.grid_sample, mode="bilinear", padding_mode=padding, align_corners=True)
    return sampled(pull, image.to(grid.dtype).expand(len(grid), -1, -1, -1, -1), grid)[:, :, :, 0, 0]


def forward_differences(field: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``f(x + e_j) - f(x)`` for the three array axes ``j``; each is one voxel shorter along its axis."""
    return field.diff(dim=2), field.diff(dim=3), field.diff(dim=4)


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Return ``det(I + Du)``, the local volume change of ``phi = id + u``.

    ``displacement`` is ``(N, 3, D, H, W)`` in voxels; derivatives are central differences, one-sided at the border.
    Returns ``(N, D, H, W)``.
    """
    size = displacement.shape[2]
    slabs = []
    for first in range(0, size, SLAB):  # the derivatives of a slab fit into the CPU's cache
        begin, end = max(first - 1, 0), min(first + SLAB + 1, size)
        determinant = _determinant(displacement[:, :, begin:end])
        slabs.append(determinant.narrow(1, first - begin, min(SLAB, size - first)))
    return torch.cat(slabs, dim=1)


def _determinant(displacement: Tensor) -> Tensor:
    a, b, c = torch.gradient(displacement, dim=(2, 3, 4))  # derivatives of (u0, u1, u2) along each axis
    a0, a1, a2 = a[:, 0] + 1, a[:, 1], a[:, 2]
    b0, b1, b2 = b[:, 0], b[:, 1] + 1, b[:, 2]
    c0, c1, c2 = c[:, 0], c[:, 1], c[:, 2] + 1
    return a0 * (b1 * c2 - b2 * c1) - b0 * (a1 * c2 - a2 * c1) + c0 * (a1 * b2 - a2 * b1)


def affine_displacement(matrix: Tensor, translation: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the displacement of ``phi(x) = M (x - c) + c + t`` about the grid's centre ``c``.

    ``matrix`` is ``(N, 3, 3)``, ``translation`` ``(N, 3)`` in voxels; the result is ``(N, 3, D, H, W)`` in voxels.
    """
    centred = identity_grid(shape, device=matrix.device, dtype=matrix.dtype)
    centred = centred - (matrix.new_tensor(list(shape)).view(1, 3, 1, 1, 1) - 1) / 2
    moved = torch.einsum("nij,kjdhw->nidhw", matrix, centred)
    return moved - centred + translation[:, :, None, None, None]


def orientation_axes(codes: str) -> tuple[list[int], list[int]]:
    """Return, for each axis of an array in orientation ``codes``, its RAS axis and its sign.

    The sign is 1 where the axis points the same way as the RAS axis, and -1 where it points the other way.
    """
    axes = [next(axis for axis, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in codes]
    return axes, [1 if code in "RAS" else -1 for code in codes]


def to_orientation(image: Tensor, codes: str) -> Tensor:
    """Turn an image ``(N, C, D, H, W)`` in RAS axes so that its axes point to ``codes`` (``"LPS"``, ``"SPL"``...)."""
    axes, signs = orientation_axes(codes)
    flipped = [axis + 2 for axis, sign in enumerate(signs) if sign < 0]
    return image.permute(0, 1, *(axis + 2 for axis in axes)).flip(flipped)


def from_orientation(displacement: Tensor, codes: str) -> Tensor:
    """Turn a displacement ``(N, 3, D, H, W)`` of images in orientation ``codes`` back to RAS axes."""
    axes, signs = orientation_axes(codes)
    flipped = [axis + 2 for axis, sign in enumerate(signs) if sign < 0]
    displacement = displacement * displacement.new_tensor(signs).view(1, 3, 1, 1, 1)
    back = sorted(range(3), key=axes.__getitem__)
    return displacement.flip(flipped).permute(0, 1, *(axis + 2 for axis in back))[:, back]
