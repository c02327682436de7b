from pathlib import Path

from smgicnet.affine import AffineConfig
from smgicnet.align_job import align_pairs
from smgicnet.config import build
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    align_pairs(
        [tuple(pair) for pair in snakemake.params.pairs],
        {Path(path).parent.name: Path(path) for path in snakemake.input},
        build(AffineConfig, snakemake.params.affine),
        Path(snakemake.output.alignments),
        Path(snakemake.output.record),
        code=snakemake.params.code,
    )
