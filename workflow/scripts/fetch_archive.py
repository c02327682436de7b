from pathlib import Path

from smgicnet.cohort.archive import fetch_and_index
from smgicnet.core.logs import job_log

with job_log(snakemake.log[0]):
    fetch_and_index(snakemake.params.source, Path(snakemake.output[0]))
