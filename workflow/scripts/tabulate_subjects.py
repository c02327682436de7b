from smgicnet.preprocessing import tabulate_reports
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    tabulate_reports(snakemake.input, snakemake.output[0])
