from pathlib import Path

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.logs import job_log
from smgicnet.jobs.register_changed import register_changed_shown
from smgicnet.jobs.registering import MethodFiles
from smgicnet.scoring.shown_change import read_changed_pair

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    weights = Path(given.weights[0]) if given.weights else None
    register_changed_shown(
        MethodFiles(params.block, weights, params.code, snakemake.resources.torch_threads),
        read_changed_pair(given.chosen),
        {
            name: SubjectFiles(name, Path(image), Path(labels))
            for name, image, labels in zip(params.subjects, given.images, given.labels)
        },
        dict(zip(params.moving, map(Path, given.heads))),
        Path(snakemake.output[0]),
        alignments=[Path(path) for path in given.alignments],
    )
