# Tables and figures: derived from the metrics and from nothing else.


rule write_table1:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz"),
        records=lambda w: method_files(w.dataset, "metrics.json"),
        paper=f"{workflow.basedir}/config/paper.yaml",
    output:
        md=report(
            "results/{dataset}/tables/table1.md",
            caption="../workflow/report/table1.rst",
            category="Tables",
            labels={"dataset": "{dataset}", "table": "Table 1"},
        ),
        csv="results/{dataset}/tables/table1.csv",
        tex="results/{dataset}/tables/table1.tex",
        record="results/{dataset}/tables/table1.json",
    log:
        "results/{dataset}/logs/table1.log",
    conda:
        "../envs/analysis.yaml"
    params:
        labels={name: method["label"] for name, method in METHODS.items()},
        config=lambda w: {"dataset": DATASETS[w.dataset], "methods": METHODS, "seeds": CONFIG["seeds"]},
        code=source_digest("tables.py", "statistics.py", "provenance.py"),
    script:
        "../workflow/scripts/write_table1.py"


rule plot_registrations:
    input:
        images=lambda w: prepared(
            w.dataset, w.arm, sorted({name for pair in FIGURE_PAIRS[w.dataset] for name in pair}), "image"
        ),
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.csv.gz",
        initial=lambda w: [
            f"results/{w.dataset}/{w.arm}/{name}/seed-0/metrics.csv.gz"
            for name, method in METHODS.items()
            if method["type"] == "initial"
        ],
        fields=lambda w: [
            f"results/{w.dataset}/{w.arm}/{w.method}/seed-{w.seed}/shards/{index}/fields"
            for index, pairs in enumerate(SHARDS[w.dataset])
            if set(pairs) & set(FIGURE_PAIRS[w.dataset])
        ],
    output:
        png=report(
            "results/{dataset}/figures/registrations-{arm}-{method}-seed-{seed}.png",
            caption="../workflow/report/registrations.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "registrations", "method": "{method}"},
        ),
        pdf="results/{dataset}/figures/registrations-{arm}-{method}-seed-{seed}.pdf",
    log:
        "results/{dataset}/logs/figures/registrations-{arm}-{method}-seed-{seed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        pairs=lambda w: FIGURE_PAIRS[w.dataset],
        code=source_digest("plotting.py", "examples.py", "transforms_io.py"),
    script:
        "../workflow/scripts/plot_registrations.py"


rule table1:
    input:
        expand("results/{dataset}/tables/table1.{form}", dataset=DATASETS, form=["md", "csv", "tex", "json"]),


rule figures:
    input:
        [
            f"results/{dataset}/figures/registrations-{arm}-{method}-seed-{seed}.{form}"
            for dataset in DATASETS
            for arm in ARMS
            for method in LEARNED
            for seed in seeds(method)[:1]
            for form in ("png", "pdf")
        ],
