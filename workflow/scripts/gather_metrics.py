from smgicnet.scripts import job_log
from smgicnet.statistics import read_metrics, write_metrics

with job_log(snakemake.log[0]):
    write_metrics(read_metrics(snakemake.input), snakemake.output[0])
