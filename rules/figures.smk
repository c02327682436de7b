# Figures: of the metrics, of the pairs shown, of the trainings.


def figure(name, caption=None, **labels):
    """The files of a figure of a dataset: PNG, in Snakemake's report, and PDF; keys as `NAME_png`, `NAME_pdf`."""
    key = name.replace("-", "_")
    png = reported(paths.figure(name, "png"), caption or name, **labels)
    return {f"{key}_png": png, f"{key}_pdf": paths.figure(name, "pdf")}


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
        environment("analysis")
    params:
        labels=study.labels(study.runs),
        reference=study.reference,
        merge_sides=study.config["evaluation"]["merge_sides"],
        code=code("plot_comparisons"),
    script:
        "../workflow/scripts/plot_comparisons.py"


rule plot_scores:
    input:
        metrics=lambda w: files.runs(w.dataset, METRICS),
    output:
        **figure("dice"),
        **(figure("robustness") if study.initial else {}),
        **figure("time"),
    log:
        "results/{dataset}/logs/figures/scores.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        runs=study.runs,
        initial=study.initial,
        labels=study.labels(study.runs),
        merge_sides=study.config["evaluation"]["merge_sides"],
        code=code("plot_scores"),
    script:
        "../workflow/scripts/plot_scores.py"


rule plot_pairs:
    input:
        pairs="results/{dataset}/cohort/shown_pairs.json",
        images=lambda w: files.prepared(w, study.subjects(w.dataset, "test"), "image"),
        metrics=lambda w: files.first_seed(w.dataset, study.registering),
        initial=lambda w: files.first_seed(w.dataset, study.initial),
        shown=lambda w: files.first_seed(w.dataset, study.registering, "shown"),
    output:
        **figure("methods"),
        **figure("reciprocal"),
        **figure("registrations"),
        **(figure("published", "methods") if set(study.published) - set(study.absent) else {}),
    log:
        "results/{dataset}/logs/figures/pairs.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        labels=study.labels(study.runs),
        runs=study.registering,
        reference=study.viewed[0] if study.viewed else None,
        spacing=lambda w: study.datasets[w.dataset]["grid"]["spacing"],
        published=[run for run in study.published_runs if run in study.runs],
        code=code("plot_pairs"),
    script:
        "../workflow/scripts/plot_pairs.py"


rule plot_training:
    input:
        lambda w: [path for run in study.trained_runs for path in files.stages(w.dataset, run, "history")],
    output:
        png=[
            report(
                f"results/{{dataset}}/figures/training-{arm}-{method}.png",
                caption="../workflow/report/training.rst",
                category="Training",
                labels={"dataset": "{dataset}", "what": study.label((method, arm))},
            )
            for method, arm in study.trained_runs
        ],
        pdf=[f"results/{{dataset}}/figures/training-{arm}-{method}.pdf" for method, arm in study.trained_runs],
    log:
        "results/{dataset}/logs/figures/training.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        titles=[study.label(run) for run in study.trained_runs],
        levels=[len(study.methods[method]["stages"]) for method, _ in study.trained_runs],
        code=code("plot_training"),
    script:
        "../workflow/scripts/plot_training.py"


rule figures:
    input:
        expand(
            "results/{dataset}/figures/{name}.png",
            dataset=study.datasets,
            name=["dice", "time", *["robustness"] * len(study.initial)],
        ),
        expand("results/{dataset}/figures/methods.png", dataset=study.datasets if study.registering else []),
        expand("results/{dataset}/figures/comparisons.png", dataset=study.datasets if study.compared else []),
        expand(
            "results/{dataset}/figures/training-{run}.png",
            dataset=study.datasets,
            run=[f"{a}-{m}" for m, a in study.trained_runs],
        ),


rule plot_ablations:
    input:
        "results/{dataset}/tables/ablations.csv",
    output:
        **figure("ablations"),
    log:
        "results/{dataset}/logs/figures/ablations.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        reference=study.methods[study.config["ablations"]["method"]]["label"] if study.variants else "",
        code=code("plot_ablations"),
    script:
        "../workflow/scripts/plot_ablations.py"
