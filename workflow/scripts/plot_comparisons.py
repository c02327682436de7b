import pandas as pd

from smgicnet.label_protocols import roi_names
from smgicnet.plotting import save
from smgicnet.score_figures import comparison_figure, without_sides
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    comparisons = pd.read_csv(snakemake.input[0], dtype=dict.fromkeys(("arm", "method", "roi"), str))
    rois = list(roi_names().values())
    if snakemake.params.merge_sides:
        rois = without_sides(rois)
    labels = snakemake.params.labels
    figure = comparison_figure(comparisons, labels, labels["/".join(snakemake.params.reference)], rois)
    save(figure, [snakemake.output.png, snakemake.output.pdf])
