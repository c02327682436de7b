# Variants of the full model, trained and scored by the same rules as any method.

ABLATED = [(name, METHODS[FULL_MODEL]["arms"][0]) for name in [FULL_MODEL, *VARIANTS]] if VARIANTS else []


rule write_ablations:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz", ABLATED),
        records=lambda w: method_files(w.dataset, "metrics.json", ABLATED),
        trainings=lambda w: [
            path
            for run in ABLATED
            for seed in seeds(run[0])
            for path in stage_files(w.dataset, run, "training.json", seed)
        ],
    output:
        **table("ablations"),
        md=reported("results/{dataset}/tables/ablations.md", "ablations"),
    log:
        "results/{dataset}/logs/ablations.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        runs=ABLATED,
        labels={name: METHODS[name]["label"] for name, _ in ABLATED},
        studies={name: variant["study"] for name, variant in VARIANTS.items()},
        trainings=[(name, len(METHODS[name]["stages"]) * len(seeds(name))) for name, _ in ABLATED],
        resamples=CONFIG["evaluation"]["resamples"],
        config=lambda w: recorded_config(w.dataset),
        code=source_digest(*TABLE_SOURCES["ablations"]),
        sources=TABLE_SOURCES["ablations"],
    script:
        "../workflow/scripts/write_ablations.py"


rule plot_ablations:
    input:
        "results/{dataset}/tables/ablations.csv",
    output:
        **figure("ablations"),
    log:
        "results/{dataset}/logs/figures/ablations.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        reference=METHODS[FULL_MODEL]["label"] if VARIANTS else "",
        code=source_digest(*FIGURE_CODE, "score_figures.py", "run_figures.py"),
    script:
        "../workflow/scripts/plot_ablations.py"


rule ablations:
    input:
        expand(
            ["results/{dataset}/tables/ablations.md", "results/{dataset}/figures/ablations.png"],
            dataset=DATASETS if VARIANTS else [],
        ),
