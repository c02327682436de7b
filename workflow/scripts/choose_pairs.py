from pathlib import Path

from smgicnet.cohort.participants import pairs_without, read_excluded
from smgicnet.core.logs import job_log
from smgicnet.scoring.shown_pairs import write_shown_pairs

with job_log(snakemake.log[0]):
    labels = {Path(path).parent.name: Path(path) for path in snakemake.input.labels}
    pairs = pairs_without(snakemake.params.pairs, read_excluded(snakemake.input.excluded))
    write_shown_pairs(labels, pairs, snakemake.params.rules, Path(snakemake.output[0]))
