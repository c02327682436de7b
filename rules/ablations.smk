# Variants of the full model, trained and scored by the same rules as any method.


rule write_ablations:
    input:
        metrics=files.of_runs(study.ablated, METRICS),
        records=files.of_runs(study.ablated, METRICS_RECORD),
        trainings=lambda w: files.trainings(w.dataset, study.ablated),
    output:
        **table("ablations"),
    log:
        paths.log("ablations"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        runs=study.ablated,
        labels={method: study.methods[method]["label"] for method, _ in study.ablated},
        studies={name: variant["study"] for name, variant in study.variants.items()},
        trainings=[(name, len(study.methods[name]["stages"]) * len(study.seeds(name))) for name, _ in study.ablated],
        resamples=study.config["evaluation"]["resamples"],
        people=lambda w: study.people(w.dataset),
        config=lambda w: study.recorded_config(w.dataset),
    script:
        "../workflow/scripts/write_table.py"


rule ablations:
    input:
        for_datasets([paths.table("ablations", "md"), paths.figure("ablations", "png")], study.variants),
