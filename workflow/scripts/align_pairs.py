from pathlib import Path

from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.jobs.align import align_pairs
from smgicnet.preparation.affine import AffineConfig

with job_log(snakemake.log[0]):
    align_pairs(
        [tuple(pair) for pair in snakemake.params.pairs],
        {Path(path).parent.name: Path(path) for path in snakemake.input},
        build(AffineConfig, snakemake.params.affine),
        Path(snakemake.output.alignments),
        Path(snakemake.output.record),
        code=snakemake.params.code,
    )
