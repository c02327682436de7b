from smgicnet.core.logs import job_log
from smgicnet.scoring.statistics import read_metrics, write_metrics

with job_log(snakemake.log[0]):
    write_metrics(read_metrics(snakemake.input.metrics), snakemake.output.metrics)
