from pathlib import Path

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.change import change_subject
from smgicnet.preparation.changes import Changes, Variant

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    labels, histogram = given.get("labels"), given.get("histogram")
    change_subject(
        SubjectFiles(snakemake.wildcards.subject, Path(given.image), Path(labels) if labels else None),
        Path(given.prepared),
        build(Grid, params.grid),
        Changes(tuple(Variant(*one) for one in params.variants), params.shift, params.seed),
        Path(snakemake.output[0]),
        mapping=params.mapping,
        histogram=Path(histogram) if histogram else None,
        form=params.form,
    )
