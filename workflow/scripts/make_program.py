from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.jobs.programs import make_environment

with job_log(snakemake.log[0]):
    make_environment(snakemake.params.environment, Path(snakemake.output[0]))
