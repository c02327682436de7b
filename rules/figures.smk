# Figures: what there is, and what each is drawn from, is in smgicnet/publication/figures/registry.py.
from smgicnet.jobs.figure_inputs import FigureInputs

drawn = FigureInputs(files)


rule plot_figure:
    input:
        unpack(drawn.inputs),
    output:
        report(
            paths.figure("{figure}", "png"),
            caption="../workflow/report/figure.rst",
            category=lambda w: drawn.entry(w.figure).category,
            labels=drawn.labels,
        ),
        paths.figure("{figure}", "pdf"),
    log:
        paths.log("figures/{figure}"),
    wildcard_constraints:
        figure=names(drawn.figures),
    localrule: True
    conda:
        environment("analysis")
    resources:
        expected_ms=needs.without_torch(2),
    params:
        entry=lambda w: drawn.figures[w.figure][0],
        facts=drawn.facts,
        caption=lambda w: drawn.caption(w.figure, w.dataset),
        code=drawn.code,
    script:
        "../workflow/scripts/plot_figure.py"


rule figures:
    input:
        [study.paths(name).figure(figure, "png") for name in study.datasets for figure in drawn.by_default(name)],
