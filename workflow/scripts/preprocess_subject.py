from smgicnet.config import build
from smgicnet.preprocessing import Grid, prepare, write_prepared
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    prepared = prepare(snakemake.input.image, snakemake.input.get("labels"), build(Grid, snakemake.params.grid))
    write_prepared(prepared, snakemake.output.image, snakemake.output.labels, snakemake.output.report)
