from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.jobs.register import register_shown
from smgicnet.jobs.registering import MethodFiles
from smgicnet.scoring.shown_pairs import read_shown_pairs

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    weights = Path(given.weights[0]) if given.weights else None
    register_shown(
        MethodFiles(params.block, weights, params.code, snakemake.resources.torch_threads),
        read_shown_pairs(given.pairs),
        {Path(path).parent.name: Path(path) for path in given.images},
        Path(snakemake.output[0]),
        alignments=[Path(path) for path in given.alignments],
        labels={Path(path).parent.name: Path(path) for path in given.labels},
        fields=Path(params.fields) if given.kept else None,
    )
