from zlib import crc32

from smgicnet.cohort.label_maps import LabelMapConfig, make_from_label_map
from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.images import write_volume

with job_log(snakemake.log[0]):
    config = build(LabelMapConfig, snakemake.params.source)
    stream = crc32(snakemake.wildcards.subject.encode())  # by name: other files in the folder change nothing
    volumes = make_from_label_map(snakemake.input[0], stream, config)
    for path, volume in zip((snakemake.output.image, snakemake.output.labels), volumes, strict=True):
        write_volume(path, volume.data, volume.affine)
