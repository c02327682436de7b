import json
from pathlib import Path

from smgicnet.register_job import register_shown
from smgicnet.scripts import job_log

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
