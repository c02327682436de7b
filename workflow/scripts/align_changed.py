from pathlib import Path

from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.jobs.align import align_pairs
from smgicnet.jobs.change import changed_images
from smgicnet.preparation.affine import AffineConfig
from smgicnet.preparation.changes import Variant

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    variants = [Variant(*one) for one in params.variants]
    images = dict(zip(params.subjects, map(Path, given.images)))
    align_pairs(
        [(fixed, one.of(moving)) for fixed, moving in params.pairs for one in variants],
        images | changed_images(dict(zip(params.moving, map(Path, given.heads))), variants),
        build(AffineConfig, params.affine),
        Path(snakemake.output.alignments),
        Path(snakemake.output.record),
        code=params.code,
        one_way=True,
    )
