from pathlib import Path

from smgicnet.cohort.participants import pairs_without, read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.logs import job_log
from smgicnet.jobs.register import register_shard

with job_log(snakemake.log[0]):
    names, truth = snakemake.params.subjects, [Path(path) for path in snakemake.input.truth]
    subjects = {
        name: SubjectFiles(name, Path(image), Path(labels), tuple(truth[index :: len(names)]))
        for index, (name, image, labels) in enumerate(zip(names, snakemake.input.images, snakemake.input.labels))
    }
    register_shard(
        snakemake.params.method,
        Path(snakemake.input.weights[0]) if snakemake.input.weights else None,
        pairs_without(snakemake.params.pairs, read_excluded(snakemake.input.excluded)),
        subjects,
        alignments=[Path(path) for path in snakemake.input.alignments],
        columns={key: snakemake.wildcards[key] for key in ("dataset", "arm", "method", "seed")},
        metrics=Path(snakemake.output.metrics),
        record=Path(snakemake.output.record),
        code=snakemake.params.code,
        threads=snakemake.resources.torch_threads,
    )
