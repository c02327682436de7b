import pandas as pd

from smgicnet.plotting import save
from smgicnet.scripts import job_log
from smgicnet.training_figures import training_figure

with job_log(snakemake.log[0]):
    histories = iter([pd.read_csv(path) for path in snakemake.input])
    outputs = zip(snakemake.output.png, snakemake.output.pdf)
    for title, count, paths in zip(snakemake.params.titles, snakemake.params.levels, outputs):
        save(training_figure([next(histories) for _ in range(count)], title), paths)
