from smgicnet.config import build
from smgicnet.preprocessing import Grid, prepare, read_intensities, write_prepared
from smgicnet.scripts import job_log

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
    write_prepared(prepared, output.image, output.labels, output.report, steps=given.records)
