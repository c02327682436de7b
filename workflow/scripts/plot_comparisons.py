import pandas as pd

from smgicnet.core.logs import job_log
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.plotting import save
from smgicnet.publication.figures.score_figures import comparison_figure, without_sides

with job_log(snakemake.log[0]):
    comparisons = pd.read_csv(snakemake.input[0], dtype=dict.fromkeys(("arm", "method", "roi"), str))
    rois = list(roi_names().values())
    if snakemake.params.merge_sides:
        rois = without_sides(rois)
    labels = snakemake.params.labels
    figure = comparison_figure(comparisons, labels, labels["/".join(snakemake.params.reference)], rois)
    save(figure, [snakemake.output.png, snakemake.output.pdf])
