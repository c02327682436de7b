import pandas as pd

from smgicnet.cohort.participants import write_pairs, write_participants
from smgicnet.core.logs import job_log

with job_log(snakemake.log[0]):
    write_participants(pd.DataFrame(snakemake.params.table).set_index("subject"), snakemake.output.participants)
    write_pairs(snakemake.params.pairs, snakemake.output.pairs)
