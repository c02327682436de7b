import pandas as pd

from smgicnet.core.logs import job_log
from smgicnet.publication.figures.plotting import DOUBLE_COLUMN_MM, save
from smgicnet.publication.figures.run_figures import ablation_figure

with job_log(snakemake.log[0]):
    table = pd.read_csv(snakemake.input[0])
    save(ablation_figure(table, snakemake.params.reference, DOUBLE_COLUMN_MM), list(snakemake.output))
