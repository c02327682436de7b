import pandas as pd

from smgicnet.plotting import DOUBLE_COLUMN_MM, save
from smgicnet.run_figures import ablation_figure
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    table = pd.read_csv(snakemake.input[0])
    save(ablation_figure(table, snakemake.params.reference, DOUBLE_COLUMN_MM), list(snakemake.output))
