# What one opens first, and the audit of the paper.


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
        "../envs/torch.yaml"
    params:
        seed=1,
        code=source_digest(*AUDIT_CODE),
    script:
        "../workflow/scripts/write_audit.py"


rule write_page:
    input:
        tables=lambda w: page_tables(w.dataset),
        figures=lambda w: page_figures(w.dataset),
        captions=lambda w: [page_caption(path) for path in page_figures(w.dataset)],
        audit="results/audit.md",
        audit_record="results/audit.json",
        pairs="results/{dataset}/cohort/shown_pairs.json",
        images=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "test"), "image"),
        initial=lambda w: [shown_file(w.dataset, run, "metrics.csv.gz") for run in INITIAL],
        metrics=lambda w: [shown_file(w.dataset, run, "metrics.csv.gz") for run in VIEWED],
        shown=lambda w: [shown_file(w.dataset, run, "shown") for run in VIEWED],
    output:
        "results/{dataset}/report/index.html",
    log:
        "results/{dataset}/logs/page.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        runs=VIEWED,
        labels=LABELS,
        reference=(VIEWED or RUNS)[0],
        titles=lambda w: [figure_title(path) for path in page_figures(w.dataset)],
        code=source_digest(*PAGE_CODE, "examples.py", "transforms_io.py"),
    script:
        "../workflow/scripts/write_page.py"


rule page:
    input:
        expand("results/{dataset}/report/index.html", dataset=DATASETS if REGISTERING else []),
