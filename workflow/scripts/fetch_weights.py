from smgicnet.core.download import download_all
from smgicnet.core.logs import job_log

with job_log(snakemake.log[0]):
    download_all(snakemake.params.wanted)
