import json
from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.publication.examples import load_example
from smgicnet.publication.figures.pair_figures import methods_figure, reciprocal_figure
from smgicnet.publication.figures.plotting import DOUBLE_COLUMN_MM, registration_figure, save
from smgicnet.scoring.statistics import read_metrics

with job_log(snakemake.log[0]):
    pairs = list(json.loads(Path(snakemake.input.pairs).read_text()).values())
    images = {Path(path).parent.name: path for path in snakemake.input.images}
    initial = read_metrics(snakemake.input.initial) if snakemake.input.initial else None
    runs = [tuple(run) for run in snakemake.params.runs]
    metrics = dict(zip(runs, (read_metrics([path]) for path in snakemake.input.metrics)))
    folders = dict(zip(runs, snakemake.input.shown))

    def example(run, fixed, moving):
        return load_example(fixed, moving, images, folders[run], metrics[run], initial)

    def compare(chosen):
        labels = [snakemake.params.labels["/".join(run)] for run in chosen]
        return methods_figure([[example(run, *pair) for run in chosen] for pair in pairs], labels, DOUBLE_COLUMN_MM)

    published, reference = [tuple(run) for run in snakemake.params.published], tuple(snakemake.params.reference)
    figures = {
        "methods": compare([run for run in runs if run not in published]),
        "reciprocal": reciprocal_figure(
            example(reference, *pairs[0]), example(reference, *pairs[0][::-1]), [snakemake.params.spacing] * 3
        ),
        "registrations": registration_figure([example(reference, *pair) for pair in pairs]),
    }
    if published:
        figures["published"] = compare([*published, reference])
    for name, figure in figures.items():
        save(figure, [snakemake.output[f"{name}_{form}"] for form in ("png", "pdf")])
