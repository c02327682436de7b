from smgicnet.gathering import gather_metrics
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    gather_metrics(
        snakemake.input.metrics,
        snakemake.input.records,
        metrics=snakemake.output.metrics,
        record=snakemake.output.record,
    )
