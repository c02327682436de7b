"""Random weights in the layout of SynthMorph's published file."""

import h5py
import numpy as np

DECODER = "vxm_dense_unet_dec_conv_{}_0"

# in the order of the network: (layer, input, output channels), F for the features, as the published files have them
PUBLISHED = [
    ("vxm_dense_unet_enc_conv_0_0", 2, 256),
    *((f"vxm_dense_unet_enc_conv_{level}_0", 256, 256) for level in (1, 2, 3)),
    (DECODER.format(3), 256, 256),
    *((DECODER.format(level), 512, 256) for level in (2, 1, 0)),
    *((f"vxm_dense_unet_dec_final_conv_{k}", 256, 256) for k in (0, 1)),
    ("vxm_dense_flow", 256, 3),
]


def keras(features=256, seed=0):
    """Random arrays of every layer: ``{layer: {"kernel:0": (3, 3, 3, in, out), "bias:0": (out,)}}``."""
    rng, arrays = np.random.default_rng(seed), {}
    for layer, channels_in, channels_out in PUBLISHED:
        i, o = (channels if channels <= 3 else channels * features // 256 for channels in (channels_in, channels_out))
        kernel = rng.standard_normal((3, 3, 3, i, o), dtype=np.float32) / np.sqrt(np.float32(10 * i))
        arrays[layer] = {"kernel:0": kernel, "bias:0": rng.standard_normal(o, dtype=np.float32) / 10}
    return arrays


def write_h5(path, arrays, nesting="{layer}/{layer}/{weight}"):
    with h5py.File(path, "w") as file:
        for layer, weights in arrays.items():
            for weight, array in weights.items():
                file[nesting.format(layer=layer, weight=weight)] = array
        if nesting.startswith("model_weights"):  # Keras writes layers without weights too, and its optimiser beside
            file.create_group("model_weights/vxm_dense_transformer")
            file["optimizer_weights/Adam/iterations:0"] = 7
    return path
