# Register and score in shards of test pairs, then gather them a method.


# a rule for networks, which ask for a GPU, and one for the others
rule register_shard:
    input:
        # in the affine arm too: an image or label map is resampled once, through affine and deformation
        prepared=files.shard_records,
        alignments=lambda w: files.alignments(w, "alignments.json"),
        beside=files.given_beside,
        weights=files.final_weights,
        excluded=files.excluded,
        shown=ancient(files.shown_pairs_if_kept),
        given=files.given_fields,
        program=files.program,
    output:
        metrics=run.shard("{shard}", SHARD_METRICS),
        record=run.shard("{shard}", SHARD_RECORD),
    log:
        paths.log("register/{arm}-{method}-seed-{seed}-shard-{shard}"),
    benchmark:
        run.shard("{shard}", BENCHMARK)
    wildcard_constraints:
        method=names(study.networks),
    conda:
        lambda w: environment(files.environment(w))
    threads: needs.threads
    resources:
        **needs.registering(gpu=1),
    params:
        block=lambda w: study.registering_block(w.method),
        subjects=files.scored_subjects,
        pairs=files.shard_pairs,
        code=files.code,
        scoring=scoring_codes(),
        fields=files.fields_folder,
    script:
        "../workflow/scripts/register_shard.py"


use rule register_shard as register_shard_on_cpu with:
    wildcard_constraints:
        method=names([name for name in study.methods if name not in study.networks]),
    resources:
        **needs.registering(gpu=0),


rule choose_pairs:
    input:
        labels=lambda w: files.prepared(w, study.subjects(w.dataset, "test"), "labels"),
        excluded=files.excluded,
    output:
        paths.shown_pairs,
    log:
        paths.log("shown_pairs"),
    conda:
        environment("torch")
    resources:
        mem_mb=needs.cohort_memory,
        expected_ms=needs.with_torch(1),
    params:
        pairs=lambda w: study.pairs(w.dataset),
        rules=study.config["evaluation"]["figure_pairs"],
        code=code("choose_pairs"),
    script:
        "../workflow/scripts/choose_pairs.py"


# a few pairs again, so that neither another choice nor another figure registers a cohort anew
rule register_shown:
    input:
        pairs=paths.shown_pairs,
        images=lambda w: files.prepared(w, study.subjects(w.dataset, "test"), "image"),
        alignments=lambda w: files.alignments(w, "alignments.json"),
        weights=files.final_weights,
        labels=files.labels_seen,
        kept=files.shards_with_fields,
        given=files.given_fields,
        program=files.program,
    output:
        directory(run.shown),
    log:
        paths.log("register/{arm}-{method}-seed-{seed}-shown"),
    wildcard_constraints:
        method=names(study.networks),
    conda:
        lambda w: environment(files.environment(w))
    threads: needs.threads
    resources:
        **needs.registering(gpu=1),
    params:
        block=lambda w: study.registering_block(w.method),
        code=files.code,
        fields=files.fields_folder,
    script:
        "../workflow/scripts/register_shown.py"


use rule register_shown as register_shown_on_cpu with:
    wildcard_constraints:
        method=names([name for name in study.methods if name not in study.networks]),
    resources:
        **needs.registering(gpu=0),


rule gather_metrics:
    input:
        metrics=lambda w: files.shards(w, SHARD_METRICS),
        changed=lambda w: changed.shards(w, SHARD_METRICS),
        records=lambda w: (
            files.shards(w, SHARD_RECORD) + files.alignments(w, "record.json") + changed.records(w, SHARD_RECORD)
        ),
    output:
        metrics=run.file(METRICS),
        record=run.file(METRICS_RECORD),
    log:
        paths.log("gather/{arm}-{method}-seed-{seed}"),
    localrule: True
    conda:
        environment("analysis")
    script:
        "../workflow/scripts/gather_metrics.py"
