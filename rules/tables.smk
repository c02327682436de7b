# Tables: derived from the metrics and from nothing else.

TABLE_CODE = {
    # what makes a table stands in the JSON beside it, by paths relative to the package
    "sources": [os.path.relpath(path, PACKAGE) for path in source_files("smgicnet.jobs.tables")],
    "code": code("write_table"),
}


rule write_table1:
    input:
        metrics=files.of_runs([run for run in study.runs if run[0] not in study.published], METRICS),
        records=files.of_runs([run for run in study.runs if run[0] not in study.published], METRICS_RECORD),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table1"),
    log:
        paths.log("table1"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        paper_rows=has_paper_rows,
        labels=study.labels(study.runs),
        config=lambda w: study.recorded_config(w.dataset),
    script:
        "../workflow/scripts/write_table.py"


rule write_table2:
    input:
        metrics=files.of_runs([study.reference, *study.compared], METRICS),
        records=files.of_runs([study.reference, *study.compared], METRICS_RECORD),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table2"),
    log:
        paths.log("table2"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        paper_rows=has_paper_rows,
        labels=study.labels(study.runs),
        reference=study.reference,
        config=lambda w: study.recorded_config(w.dataset),
    script:
        "../workflow/scripts/write_table.py"


rule write_table3:
    input:
        metrics=files.of_runs([run for run in study.table3_rows if run in study.runs], METRICS),
        records=files.of_runs([run for run in study.table3_rows if run in study.runs], METRICS_RECORD),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table3"),
    log:
        paths.log("table3"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        paper_rows=has_paper_rows,
        labels=study.labels(study.table3_rows),
        absent=[run for run in study.published_runs if run[0] in study.absent],
        published=study.published,
        config=lambda w: study.recorded_config(w.dataset),
    script:
        "../workflow/scripts/write_table.py"


rule compare_methods:
    input:
        metrics=files.of_runs([study.reference, *study.compared], METRICS),
        records=files.of_runs([study.reference, *study.compared], METRICS_RECORD),
    output:
        **table("comparisons"),
    log:
        paths.log("comparisons"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        labels=study.labels(study.runs),
        reference=study.reference,
        resamples=study.config["evaluation"]["resamples"],
        seed=0,
        merge_sides=study.config["evaluation"]["merge_sides"],
        people=lambda w: study.people(w.dataset),
        config=lambda w: study.recorded_config(w.dataset),
    script:
        "../workflow/scripts/write_table.py"


rule table1:
    input:
        for_datasets([paths.table("table1", form) for form in TABLE_FORMS]),


rule table2:
    input:
        for_datasets([paths.table("table2", form) for form in TABLE_FORMS], study.compared),


rule table3:
    input:
        for_datasets([paths.table("table3", form) for form in TABLE_FORMS], study.published_runs),


rule comparisons:
    input:
        for_datasets([paths.table("comparisons", "md"), paths.figure("comparisons", "png")], study.compared),
