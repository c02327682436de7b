from pathlib import Path

from smgicnet.cohort.participants import pairs_without, read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.logs import job_log
from smgicnet.jobs.register import ShardOutputs, register_shard
from smgicnet.jobs.registering import MethodFiles
from smgicnet.scoring.shown_pairs import read_shown_pairs

with job_log(snakemake.log[0]):
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    names, truth = params.subjects, [Path(path) for path in given.truth]
    points = dict(zip(params.landmarked, map(Path, given.landmarks)))
    each = zip(*(map(Path, paths) for paths in (given.images, given.labels, given.parcels)), params.templates)
    subjects = {
        name: SubjectFiles(name, image, labels, tuple(truth[index :: len(names)]), parcels, template, points.get(name))
        for index, (name, (image, labels, parcels, template)) in enumerate(zip(names, each))
    }
    weights = Path(given.weights[0]) if given.weights else None
    register_shard(
        MethodFiles(params.block, weights, params.code, snakemake.resources.torch_threads),
        pairs_without(params.pairs, read_excluded(given.excluded)),
        subjects,
        ShardOutputs(
            {key: snakemake.wildcards[key] for key in ("dataset", "arm", "method", "seed")},
            Path(output.metrics),
            Path(output.record),
            fields=Path(params.fields) if given.shown else None,
            exact=frozenset(read_shown_pairs(given.shown[0])) if given.shown else frozenset(),
        ),
        alignments=[Path(path) for path in given.alignments],
        scoring=params.scoring,
    )
