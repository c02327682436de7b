# One job a stage: the weights of the one before are loaded; levels below the newest are frozen at first.


rule train_level:
    input:
        images=lambda w: prepared(w.dataset, w.arm, subjects(w.dataset, "train"), "image"),
        validation=lambda w: prepared(w.dataset, w.arm, subjects(w.dataset, "val"), "image", "labels"),
        # every subject has to be usable, the test subjects too, before hours are spent
        checked=ancient("results/{dataset}/raw/quality.tsv"),
        excluded=exclusion,
        labels=lambda w: (
            prepared(w.dataset, w.arm, subjects(w.dataset, "train"), "labels")
            if learns_from_labels(stage_block(METHODS[w.method], int(w.level)))
            else []
        ),
        earlier=lambda w: [stage_weights(w, int(w.level) - 1)] if int(w.level) > 1 else [],
    output:
        weights="results/{dataset}/{arm}/{method}/seed-{seed}/level-{level}/weights.pt",
        history="results/{dataset}/{arm}/{method}/seed-{seed}/level-{level}/history.csv",
        record="results/{dataset}/{arm}/{method}/seed-{seed}/level-{level}/training.json",
    log:
        "results/{dataset}/logs/train/{arm}-{method}-seed-{seed}-level-{level}.log",
    benchmark:
        "results/{dataset}/{arm}/{method}/seed-{seed}/level-{level}/benchmark.tsv"
    wildcard_constraints:
        method=names(TRAINED),
    conda:
        "../envs/torch.yaml"
    threads: torch_threads
    resources:
        gpu=1,  # a process each, which share a batch
        torch_threads=torch_threads,
        mem_mb=training_memory,
    params:
        method=lambda w: stage_block(METHODS[w.method], int(w.level)),
        grid=lambda w: DATASETS[w.dataset]["grid"],
        training=lambda w: subjects(w.dataset, "train"),
        validation=lambda w: subjects(w.dataset, "val"),
        code=lambda w: training_code(METHODS[w.method]["type"]),
    script:
        "../workflow/scripts/train_level.py"
