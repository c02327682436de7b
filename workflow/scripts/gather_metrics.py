from smgicnet.provenance import merge_records
from smgicnet.scripts import job_log
from smgicnet.statistics import read_metrics, write_metrics

with job_log(snakemake.log[0]):
    write_metrics(read_metrics(snakemake.input.metrics), snakemake.output.metrics)
    merge_records(snakemake.input.records, snakemake.output.record)
