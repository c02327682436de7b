# Tables: derived from the metrics and from nothing else.

# what makes each of them, by paths relative to the package; it stands in the JSON beside the table
TABLE_SOURCES = {
    "table1": [*TABLE_CODE, "table_job.py"],
    "table2": [*TABLE_CODE, "table_job.py"],
    "table3": [*TABLE_CODE, "table_job.py", "published_table.py"],
    "comparisons": [
        *TABLE_CODE,
        "table_job.py",
        "comparison_tables.py",
        "label_protocols.py",
        os.path.relpath(LABEL_TABLE, PACKAGE),
    ],
    "ablations": [*TABLE_CODE, "table_job.py", "ablations.py"],
}


rule write_table1:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz", TABLE1_RUNS),
        records=lambda w: method_files(w.dataset, "metrics.json", TABLE1_RUNS),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table1"),
        md=reported("results/{dataset}/tables/table1.md", "table1"),
    log:
        "results/{dataset}/logs/table1.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=LABELS,
        config=lambda w: recorded_config(w.dataset),
        code=source_digest(*TABLE_SOURCES["table1"]),
        sources=TABLE_SOURCES["table1"],
    script:
        "../workflow/scripts/write_table1.py"


rule write_table2:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz", [REFERENCE, *COMPARED]),
        records=lambda w: method_files(w.dataset, "metrics.json", [REFERENCE, *COMPARED]),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table2"),
        md=reported("results/{dataset}/tables/table2.md", "table2"),
    log:
        "results/{dataset}/logs/table2.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=LABELS,
        reference=REFERENCE,
        config=lambda w: recorded_config(w.dataset),
        code=source_digest(*TABLE_SOURCES["table2"]),
        sources=TABLE_SOURCES["table2"],
    script:
        "../workflow/scripts/write_table2.py"


rule write_table3:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz", TABLE3_RUNS),
        records=lambda w: method_files(w.dataset, "metrics.json", TABLE3_RUNS),
        paper=repository_file("config/paper.yaml"),
    output:
        **table("table3"),
        md=reported("results/{dataset}/tables/table3.md", "table3"),
    log:
        "results/{dataset}/logs/table3.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels={f"{method}/{arm}": label((method, arm)) for method, arm in TABLE3_ROWS},
        absent=[run for run in PUBLISHED_RUNS if run[0] in ABSENT],
        published=PUBLISHED,
        config=lambda w: recorded_config(w.dataset),
        code=source_digest(*TABLE_SOURCES["table3"]),
        sources=TABLE_SOURCES["table3"],
    script:
        "../workflow/scripts/write_table3.py"


rule compare_methods:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz", [REFERENCE, *COMPARED]),
        records=lambda w: method_files(w.dataset, "metrics.json", [REFERENCE, *COMPARED]),
    output:
        **table("comparisons"),
        md=reported("results/{dataset}/tables/comparisons.md", "comparisons"),
    log:
        "results/{dataset}/logs/comparisons.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=LABELS,
        reference=REFERENCE,
        resamples=CONFIG["evaluation"]["resamples"],
        seed=0,
        merge_sides=CONFIG["evaluation"]["merge_sides"],
        config=lambda w: recorded_config(w.dataset),
        code=source_digest(*TABLE_SOURCES["comparisons"]),
        sources=TABLE_SOURCES["comparisons"],
    script:
        "../workflow/scripts/compare_methods.py"


rule table1:
    input:
        expand("results/{dataset}/tables/table1.{form}", dataset=DATASETS, form=TABLE_FORMS.values()),


rule table2:
    input:
        expand(
            "results/{dataset}/tables/table2.{form}", dataset=DATASETS if COMPARED else [], form=TABLE_FORMS.values()
        ),


rule table3:
    input:
        expand(
            "results/{dataset}/tables/table3.{form}",
            dataset=DATASETS if PUBLISHED_RUNS else [],
            form=TABLE_FORMS.values(),
        ),


rule comparisons:
    input:
        expand(
            ["results/{dataset}/tables/comparisons.md", "results/{dataset}/figures/comparisons.png"],
            dataset=DATASETS if COMPARED else [],
        ),
