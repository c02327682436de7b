from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.scoring.shown_change import choose_changed_pair, write_changed_pair
from smgicnet.scoring.statistics import read_metrics

with job_log(snakemake.log[0]):
    write_changed_pair(choose_changed_pair(read_metrics(snakemake.input.metrics)), Path(snakemake.output[0]))
