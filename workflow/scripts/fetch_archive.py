from pathlib import Path

from smgicnet.archive import fetch_and_index
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    fetch_and_index(snakemake.params.source, Path(snakemake.output[0]))
