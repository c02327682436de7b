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
        environment("torch")
    params:
        seed=1,
        code=code("write_audit"),
    script:
        "../workflow/scripts/write_audit.py"


rule write_page:
    input:
        tables=lambda w: [forms[form] for forms in files.tables(w.dataset).values() for form in ("csv", "record")],
        figures=lambda w: [study.paths(w.dataset).figure(name, "png") for name in drawn.on_page(w.dataset)],
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
        titles=lambda w: [drawn.title(name) for name in drawn.on_page(w.dataset)],
        captions=lambda w: [drawn.caption(name, w.dataset) for name in drawn.on_page(w.dataset)],
        code=code("write_page"),
    script:
        "../workflow/scripts/write_page.py"


rule page:
    input:
        expand("results/{dataset}/report/index.html", dataset=study.datasets if study.registering else []),
