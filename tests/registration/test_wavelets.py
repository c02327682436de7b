"""The torch pyramid against PyWavelets."""

import numpy as np
import pytest
import torch

from smgicnet.registration.wavelets import ENERGIES, WaveletPyramid, decompose

SHAPE = (16, 24, 32)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("energy", ENERGIES)
def test_torch_equals_pywavelets(wavelet, energy):
    image = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    low, high = decompose(image, wavelet, energy)
    level = WaveletPyramid(wavelet, energy).decompose(torch.from_numpy(image)[None, None])
    np.testing.assert_allclose(level.low[0, 0].numpy(), low, atol=1e-5)
    np.testing.assert_allclose(level.energy[0, 0].numpy(), energy_image := high, atol=1e-5)
    assert energy_image.shape == tuple(n // 2 for n in SHAPE)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_constant_keeps_its_value_and_has_no_energy(wavelet):
    pyramid = WaveletPyramid(wavelet, "root_sum_of_squares")(torch.full((1, 1, 32, 32, 32), 0.6), 4)
    assert [level.low.shape[-1] for level in pyramid] == [4, 8, 16, 32]
    for level in pyramid[:-1]:
        torch.testing.assert_close(level.low, torch.full_like(level.low, 0.6))
        assert level.energy.abs().max() < 1e-5
    assert pyramid[-1].energy is None


def test_128_gives_64_32_16():
    pyramid = WaveletPyramid("db2", "sum_of_squares")(torch.zeros(1, 1, 128, 128, 128), 4)
    assert [level.low.shape[-1] for level in pyramid] == [16, 32, 64, 128]


def test_unknown_energy_is_refused():
    with pytest.raises(ValueError, match="energy"):
        WaveletPyramid("haar", "loud")
