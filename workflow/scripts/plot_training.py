import pandas as pd

from smgicnet.core.logs import job_log
from smgicnet.publication.figures.plotting import save
from smgicnet.publication.figures.training_figures import training_figure

with job_log(snakemake.log[0]):
    histories = iter([pd.read_csv(path) for path in snakemake.input])
    outputs = zip(snakemake.output.png, snakemake.output.pdf)
    for title, count, paths in zip(snakemake.params.titles, snakemake.params.levels, outputs):
        save(training_figure([next(histories) for _ in range(count)], title), paths)
