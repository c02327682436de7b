from smgicnet.core.logs import job_log
from smgicnet.jobs.figures import draw

with job_log(snakemake.log[0]):
    draw(snakemake.params.entry, dict(snakemake.input.items()), snakemake.params.facts, list(snakemake.output))
