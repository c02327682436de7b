from pathlib import Path

from smgicnet.cohort.participants import pairs_without, read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.layout import prepared_file
from smgicnet.core.logs import job_log
from smgicnet.jobs.register import ShardOutputs, register_shard
from smgicnet.jobs.registering import MethodFiles
from smgicnet.scoring.shown_pairs import read_shown_pairs

with job_log(snakemake.log[0]):
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    subjects = {
        one["name"]: SubjectFiles(
            one["name"],
            prepared_file(record, "image"),
            prepared_file(record, "labels"),
            tuple(map(Path, one["truth"])),
            prepared_file(record, "parcels"),
            one["template"],
            Path(one["landmarks"]) if one["landmarks"] else None,
        )
        for one, record in zip(params.subjects, given.prepared)
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
