from pathlib import Path

from smgicnet.examples import load_example
from smgicnet.plotting import registration_figure, save
from smgicnet.scripts import job_log
from smgicnet.statistics import read_metrics

with job_log(snakemake.log[0]):
    metrics = read_metrics([snakemake.input.metrics])
    initial = read_metrics(snakemake.input.initial) if snakemake.input.initial else None
    images = {Path(path).parent.name: path for path in snakemake.input.images}
    examples = [
        load_example(fixed, moving, images, snakemake.input.fields, metrics, initial)
        for fixed, moving in snakemake.params.pairs
    ]
    save(registration_figure(examples), [snakemake.output.png, snakemake.output.pdf])
