# What one opens first, and the audit of the paper.

FIGURE_TITLES = {
    "methods": "Methods side by side (Figure 2)",
    "published": "With their authors' weights (Figure 5)",
    "reciprocal": "Both directions of a pair (Figure 3a)",
    "registrations": "The reference method",
    "dice": "Dice by region",
    "robustness": "Dice before and after: who fails where",
    "time": "Time and accuracy",
    "comparisons": "Differences by region",
    "ablations": "Ablations (Figure 3b)",
}


def page_figures(w):
    return [study.paths(w.dataset).figure(name, "png") for name in files.figures(w.dataset)]


def figure_title(path):
    """What a figure is called on the page."""
    name = Path(path).stem
    run = next((run for run in study.trained_runs if name == f"training-{run[1]}-{run[0]}"), None)
    return f"Training of {study.label(run)}" if run else FIGURE_TITLES[name]


def page_caption(path):
    """The caption of a figure, which it has in Snakemake's report too."""
    name = "training" if Path(path).stem.startswith("training-") else Path(path).stem
    return repository_file(f"workflow/report/{'methods' if name == 'published' else name}.rst")


rule audit:
    input:
        paper=repository_file("config/paper.yaml"),
    output:
        md=report("results/audit.md", caption="../workflow/report/audit.rst", category="Audit of the paper"),
        record="results/audit.json",
    log:
        "results/audit.log",
    localrule: True
    conda:
        environment("torch")
    params:
        seed=1,
        code=code("write_audit"),
    script:
        "../workflow/scripts/write_audit.py"


rule write_page:
    input:
        tables=lambda w: [path for forms in files.tables(w.dataset).values() for path in forms.values()],
        figures=lambda w: page_figures(w),
        captions=lambda w: [page_caption(path) for path in page_figures(w)],
        audit="results/audit.md",
        audit_record="results/audit.json",
        pairs="results/{dataset}/cohort/shown_pairs.json",
        images=lambda w: files.prepared(w, study.subjects(w.dataset, "test"), "image"),
        initial=lambda w: files.first_seed(w.dataset, study.initial),
        metrics=lambda w: files.first_seed(w.dataset, study.viewed),
        shown=lambda w: files.first_seed(w.dataset, study.viewed, "shown"),
    output:
        "results/{dataset}/report/index.html",
    log:
        "results/{dataset}/logs/page.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        runs=study.viewed,
        labels=study.labels(study.runs),
        reference=(study.viewed or study.runs)[0],
        titles=lambda w: [figure_title(path) for path in page_figures(w)],
        code=code("write_page"),
    script:
        "../workflow/scripts/write_page.py"


rule page:
    input:
        expand("results/{dataset}/report/index.html", dataset=study.datasets if study.registering else []),
