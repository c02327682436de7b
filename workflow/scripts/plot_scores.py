from smgicnet.core.logs import job_log
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.plotting import save
from smgicnet.publication.figures.run_figures import initial_scatter, time_figure
from smgicnet.publication.figures.score_figures import dice_boxplot, without_sides
from smgicnet.scoring.comparisons import merge_sides
from smgicnet.scoring.statistics import read_metrics

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    rois = list(roi_names().values())
    if snakemake.params.merge_sides:
        metrics, rois = merge_sides(metrics), without_sides(rois)
    runs, initial = ([tuple(run) for run in snakemake.params[key]] for key in ("runs", "initial"))
    labels = snakemake.params.labels
    registered = [run for run in runs if run not in initial] or runs
    figures = {
        "dice": dice_boxplot(metrics, runs, [labels["/".join(run)] for run in runs], rois),
        "time": time_figure(metrics, registered, labels, initial[0] if initial else None),
    }
    if initial:
        figures["robustness"] = initial_scatter(metrics, registered, labels, initial[0])
    for name, figure in figures.items():
        save(figure, [snakemake.output[f"{name}_{form}"] for form in ("png", "pdf")])
