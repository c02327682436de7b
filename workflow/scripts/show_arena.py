from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.jobs.arena import show_arena

with job_log(snakemake.log[0]):
    given, output = snakemake.input, snakemake.output
    show_arena(Path(given.record), list(map(Path, given.metrics)), list(map(Path, output.figures)), Path(output.page))
