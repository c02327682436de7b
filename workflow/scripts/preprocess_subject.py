from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.preparation.preprocessing import prepare, read_intensities, write_prepared

with job_log(snakemake.log[0]):
    given, output = snakemake.input, snakemake.output
    histogram = given.get("histogram")
    prepared = prepare(
        given.image,
        given.get("labels"),
        build(Grid, snakemake.params.grid),
        mapping=snakemake.params.mapping,
        reference=read_intensities(histogram) if histogram else None,
        form=snakemake.params.form,
    )
    write_prepared(prepared, dict(output.items()), steps=given.records, truth=given.truth)
