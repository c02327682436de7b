# Figures: of the metrics, of the pairs shown, of the trainings.


rule plot_comparisons:
    input:
        "results/{dataset}/tables/comparisons.csv",
    output:
        png=reported("results/{dataset}/figures/comparisons.png", "comparisons"),
        pdf="results/{dataset}/figures/comparisons.pdf",
    log:
        "results/{dataset}/logs/figures/comparisons.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=LABELS,
        reference=REFERENCE,
        merge_sides=CONFIG["evaluation"]["merge_sides"],
        code=source_digest("plotting.py", "page.py", "score_figures.py", "label_protocols.py", LABEL_TABLE),
    script:
        "../workflow/scripts/plot_comparisons.py"


rule plot_scores:
    input:
        metrics=lambda w: method_files(w.dataset, "metrics.csv.gz"),
    output:
        **figure("dice"),
        **(figure("robustness") if INITIAL else {}),
        **figure("time"),
    log:
        "results/{dataset}/logs/figures/scores.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        runs=RUNS,
        initial=INITIAL,
        labels=LABELS,
        merge_sides=CONFIG["evaluation"]["merge_sides"],
        code=source_digest(
            *FIGURE_CODE,
            "run_figures.py",
            "score_figures.py",
            "comparisons.py",
            "statistics.py",
            "label_protocols.py",
            LABEL_TABLE,
        ),
    script:
        "../workflow/scripts/plot_scores.py"


rule plot_pairs:
    input:
        pairs="results/{dataset}/cohort/shown_pairs.json",
        images=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "test"), "image"),
        metrics=lambda w: [shown_file(w.dataset, run, "metrics.csv.gz") for run in REGISTERING],
        initial=lambda w: [shown_file(w.dataset, run, "metrics.csv.gz") for run in INITIAL],
        shown=lambda w: [shown_file(w.dataset, run, "shown") for run in REGISTERING],
    output:
        **figure("methods"),
        **figure("reciprocal"),
        **figure("registrations"),
        **(figure("published", "methods") if set(PUBLISHED) - set(ABSENT) else {}),
    log:
        "results/{dataset}/logs/figures/pairs.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=LABELS,
        runs=REGISTERING,
        reference=VIEWED[0] if VIEWED else None,
        spacing=lambda w: DATASETS[w.dataset]["grid"]["spacing"],
        published=[run for run in PUBLISHED_RUNS if run in RUNS],
        code=source_digest(*FIGURE_CODE, "score_figures.py", "pair_figures.py", "examples.py", "transforms_io.py"),
    script:
        "../workflow/scripts/plot_pairs.py"


rule plot_training:
    input:
        lambda w: [path for run in TRAINED_RUNS for path in stage_files(w.dataset, run, "history.csv")],
    output:
        png=[
            report(
                f"results/{{dataset}}/figures/training-{arm}-{method}.png",
                caption="../workflow/report/training.rst",
                category="Training",
                labels={"dataset": "{dataset}", "what": label((method, arm))},
            )
            for method, arm in TRAINED_RUNS
        ],
        pdf=[f"results/{{dataset}}/figures/training-{arm}-{method}.pdf" for method, arm in TRAINED_RUNS],
    log:
        "results/{dataset}/logs/figures/training.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        titles=[label(run) for run in TRAINED_RUNS],
        levels=[len(METHODS[method]["stages"]) for method, _ in TRAINED_RUNS],
        code=source_digest(*FIGURE_CODE, "score_figures.py", "training_figures.py"),
    script:
        "../workflow/scripts/plot_training.py"


rule figures:
    input:
        expand(
            "results/{dataset}/figures/{name}.png",
            dataset=DATASETS,
            name=["dice", "time", *["robustness"] * len(INITIAL)],
        ),
        expand("results/{dataset}/figures/methods.png", dataset=DATASETS if REGISTERING else []),
        expand("results/{dataset}/figures/comparisons.png", dataset=DATASETS if COMPARED else []),
        expand(
            "results/{dataset}/figures/training-{run}.png", dataset=DATASETS, run=[f"{a}-{m}" for m, a in TRAINED_RUNS]
        ),
