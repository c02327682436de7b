from pathlib import Path

from smgicnet.core.layout import ARENA
from smgicnet.core.logs import job_log
from smgicnet.jobs.tables import write_table

with job_log(snakemake.log[0]):
    write_table(
        Path(snakemake.output.md).stem,
        snakemake.wildcards.get("dataset", ARENA),
        inputs=dict(snakemake.input.items()),
        outputs=dict(snakemake.output.items()),
        parameters=dict(snakemake.params.items()),
    )
