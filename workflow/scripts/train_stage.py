from pathlib import Path

from smgicnet.cohort.participants import read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.train import StageOutputs, StageSubjects, StageTask, train_stage
from smgicnet.training.distributed import run

with job_log(snakemake.log[0]):
    given, params, output, wildcards = snakemake.input, snakemake.params, snakemake.output, snakemake.wildcards
    count, excluded = len(params.validation), read_excluded(given.excluded)
    learnt = given.labels or [None] * len(given.images)

    def subjects(names, images, labels):
        files = [SubjectFiles(n, Path(i), Path(s) if s else None) for n, i, s in zip(names, images, labels)]
        return [subject for subject in files if subject.name not in excluded]

    earlier = Path(given.earlier[0]) if given.earlier else None
    threads = snakemake.resources.torch_threads
    run(
        train_stage,
        snakemake.resources.gpu,  # a process each
        snakemake.log[0],
        StageTask(params.block, int(wildcards.stage), int(wildcards.seed), params.code, earlier, threads),
        StageSubjects(
            build(Grid, params.grid),
            subjects(params.training, given.images, learnt),
            subjects(params.validation, given.validation[:count], given.validation[count:]),
        ),
        StageOutputs(Path(output.weights), Path(output.history), Path(output.record)),
    )
