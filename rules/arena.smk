# All methods on all datasets: one table with ranks, its figure, and a page.


rule write_arena:
    input:
        metrics=[path for name in study.datasets for path in files.runs(name, METRICS)],
        records=[path for name in study.datasets for path in files.runs(name, METRICS_RECORD)],
    output:
        **{form: arena_paths.table(ARENA, form) for form in TABLE_FORMS},
    log:
        arena_paths.log("table"),
    localrule: True
    conda:
        environment("analysis")
    params:
        **TABLE_CODE,
        labels=study.labels(study.runs),
        rank_by=study.config["evaluation"]["rank_by"],
        resamples=study.config["evaluation"]["resamples"],
        seed=0,
        absent=[study.methods[name]["label"] for name in study.absent],
        people={name: study.people(name) for name in study.datasets},
        config=study.config,
    script:
        "../workflow/scripts/write_table.py"


rule show_arena:
    input:
        record=arena_paths.table(ARENA, "record"),
    output:
        figures=[arena_paths.figure("ranks", form) for form in ("png", "pdf")],
        page=arena_page(),
    log:
        arena_paths.log("page"),
    localrule: True
    conda:
        environment("analysis")
    params:
        code=code("show_arena"),
    script:
        "../workflow/scripts/show_arena.py"


rule arena:
    input:
        rules.write_arena.output,
        rules.show_arena.output,
        for_datasets(paths.page, study.registering),
