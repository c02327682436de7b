from smgicnet.core.logs import job_log
from smgicnet.jobs.gather import gather_metrics

with job_log(snakemake.log[0]):
    gather_metrics(
        snakemake.input.metrics,
        snakemake.input.records,
        metrics=snakemake.output.metrics,
        record=snakemake.output.record,
        changed=snakemake.input.changed,
    )
