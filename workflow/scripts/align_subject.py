from pathlib import Path

from smgicnet.affine import AffineConfig
from smgicnet.align_job import align_subject
from smgicnet.config import build
from smgicnet.preprocessing import Grid, write_prepared
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    labels = snakemake.input.get("labels")
    prepared = align_subject(
        Path(snakemake.input.image),
        Path(labels) if labels else None,
        Path(snakemake.input.prepared),
        Path(snakemake.input.reference),
        build(Grid, snakemake.params.grid),
        build(AffineConfig, snakemake.params.affine),
        mapping=snakemake.params.mapping,
        histogram=snakemake.input.get("histogram"),
    )
    write_prepared(prepared, snakemake.output.image, snakemake.output.labels, snakemake.output.report)
