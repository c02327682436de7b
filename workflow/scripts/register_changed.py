from pathlib import Path

from smgicnet.cohort.participants import pairs_without, read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.logs import job_log
from smgicnet.jobs.register import ShardOutputs
from smgicnet.jobs.register_changed import register_changed
from smgicnet.jobs.registering import MethodFiles
from smgicnet.preparation.changes import Variant

with job_log(snakemake.log[0]):
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    names, truth = params.subjects, [Path(path) for path in given.truth]
    weights = Path(given.weights[0]) if given.weights else None
    register_changed(
        MethodFiles(params.block, weights, params.code, snakemake.resources.torch_threads),
        pairs_without(params.pairs, read_excluded(given.excluded)),
        {
            name: SubjectFiles(name, Path(image), Path(labels), tuple(truth[index :: len(names)]), template=template)
            for index, (name, image, labels, template) in enumerate(
                zip(names, given.images, given.labels, params.templates)
            )
        },
        dict(zip(params.moving, map(Path, given.heads))),
        [Variant(*one) for one in params.variants],
        ShardOutputs(
            {key: snakemake.wildcards[key] for key in ("dataset", "arm", "method", "seed")},
            Path(output.metrics),
            Path(output.record),
        ),
        alignments=[Path(path) for path in given.alignments],
        scoring=params.scoring,
    )
