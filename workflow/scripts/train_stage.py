from pathlib import Path

from smgicnet.cohort.participants import read_excluded
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.train import train_stage
from smgicnet.training.distributed import run

with job_log(snakemake.log[0]):
    count = len(snakemake.params.validation)
    images, labels = snakemake.input.validation[:count], snakemake.input.validation[count:]
    excluded = read_excluded(snakemake.input.excluded)
    learnt = snakemake.input.labels or [None] * len(snakemake.input.images)
    files = zip(snakemake.params.training, snakemake.input.images, learnt)
    training = [SubjectFiles(n, Path(i), Path(s) if s else None) for n, i, s in files]
    validation = [SubjectFiles(n, Path(i), Path(s)) for n, i, s in zip(snakemake.params.validation, images, labels)]
    run(
        train_stage,
        snakemake.resources.gpu,  # a process each
        snakemake.log[0],
        snakemake.params.block,
        int(snakemake.wildcards.stage),
        seed=int(snakemake.wildcards.seed),
        grid=build(Grid, snakemake.params.grid),
        training=[subject for subject in training if subject.name not in excluded],
        validation=[subject for subject in validation if subject.name not in excluded],
        earlier=Path(snakemake.input.earlier[0]) if snakemake.input.earlier else None,
        weights=Path(snakemake.output.weights),
        history=Path(snakemake.output.history),
        record=Path(snakemake.output.record),
        code=snakemake.params.code,
        threads=snakemake.resources.torch_threads,
    )
