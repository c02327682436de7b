# What one opens first, and the audit of the paper.


rule audit:
    input:
        paper=repository_file("config/paper.yaml"),
    output:
        md=report(AUDIT["md"], caption="../workflow/report/audit.rst", category="Audit of the paper"),
        record=AUDIT["record"],
    log:
        AUDIT["log"],
    localrule: True
    conda:
        environment("torch")
    resources:
        expected_ms=needs.with_torch(4),
    params:
        seed=1,
        code=code("write_audit"),
    script:
        "../workflow/scripts/write_audit.py"


rule write_page:
    input:
        unpack(changed.on_page),
        tables=lambda w: [forms[form] for forms in files.tables(w.dataset).values() for form in ("csv", "record")],
        figures=lambda w: [study.paths(w.dataset).figure(name, "png") for name in drawn.on_page(w.dataset)],
        audit=lambda w: [AUDIT["md"]] if has_paper_rows(w) else [],
        audit_record=lambda w: [AUDIT["record"]] if has_paper_rows(w) else [],
        pairs=paths.shown_pairs,
        images=lambda w: files.prepared(w, study.subjects(w.dataset, "test"), "image"),
        initial=lambda w: files.first_seed(w.dataset, study.initial),
        metrics=lambda w: files.first_seed(w.dataset, study.viewed),
        shown=lambda w: files.first_seed(w.dataset, study.viewed, "shown"),
    output:
        paths.page,
    log:
        paths.log("page"),
    localrule: True
    conda:
        environment("analysis")
    resources:
        expected_ms=needs.without_torch(2),
        kilobytes=PAGE_KB,
    params:
        runs=study.viewed,
        changed=changed.viewed,
        labels=study.labels(study.runs),
        reference=(study.viewed or study.runs)[0],
        titles=lambda w: [drawn.title(name) for name in drawn.on_page(w.dataset)],
        captions=lambda w: [drawn.caption(name, w.dataset) for name in drawn.on_page(w.dataset)],
        code=code("write_page"),
    script:
        "../workflow/scripts/write_page.py"


rule page:
    input:
        for_datasets(paths.page, study.registering),
