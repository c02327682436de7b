from pathlib import Path

from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.align import align_subject
from smgicnet.preparation.affine import AffineConfig
from smgicnet.preparation.preprocessing import write_prepared

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
        form=snakemake.params.form,
    )
    write_prepared(prepared, dict(snakemake.output.items()))
