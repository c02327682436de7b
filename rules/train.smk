# One job a stage: the weights of the one before are loaded; levels below the newest are frozen at first.


rule train_stage:
    input:
        images=lambda w: files.prepared_in(w, "train", "image"),
        validation=lambda w: files.prepared_in(w, "val", "image", "labels"),
        # every subject has to be usable, the test subjects too, before hours are spent
        checked=ancient(paths.quality),
        excluded=files.excluded,
        labels=files.labels_to_learn_from,
        earlier=files.earlier_weights,
    output:
        **{kind: run.stage("{stage}", kind) for kind in ("weights", "history", "record")},
    log:
        paths.log("train/{arm}-{method}-seed-{seed}-level-{stage}"),
    benchmark:
        run.stage("{stage}", BENCHMARK)
    wildcard_constraints:
        method=names(study.trained),
    priority: 1  # stage follows stage, while what else is left can share the cores
    conda:
        environment("torch")
    threads: needs.threads
    resources:
        gpu=1,  # a process each, which share a batch
        torch_threads=needs.threads,
        mem_mb=needs.training_memory,
        expected_ms=needs.training_ms,
        kilobytes=STAGE_KB,
    params:
        block=lambda w: stage_block(study.methods[w.method], int(w.stage)),
        grid=lambda w: study.datasets[w.dataset]["grid"],
        training=lambda w: study.subjects(w.dataset, "train"),
        validation=lambda w: study.subjects(w.dataset, "val"),
        code=lambda w: training_code(study.methods[w.method]["type"]),
    script:
        "../workflow/scripts/train_stage.py"
