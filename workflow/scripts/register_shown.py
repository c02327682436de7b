import json
from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.jobs.register import register_shown

with job_log(snakemake.log[0]):
    register_shown(
        snakemake.params.method,
        Path(snakemake.input.weights[0]) if snakemake.input.weights else None,
        [tuple(pair) for pair in json.loads(Path(snakemake.input.pairs).read_text()).values()],
        {Path(path).parent.name: Path(path) for path in snakemake.input.images},
        alignments=[Path(path) for path in snakemake.input.alignments],
        fields=Path(snakemake.output[0]),
        threads=snakemake.resources.torch_threads,
    )
