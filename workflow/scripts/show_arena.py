from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.jobs.arena import show_arena

with job_log(snakemake.log[0]):
    output = snakemake.output
    show_arena(Path(snakemake.input.record), list(map(Path, output.figures)), Path(output.page))
