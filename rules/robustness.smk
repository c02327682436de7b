# A study of robustness: heads of some test pairs are changed, registered by every run, and compared with how they lie.


rule change_subject:
    input:
        unpack(files.source),
        prepared=paths.prepared("raw", "{subject}", "image"),
    output:
        directory(paths.changed("{subject}")),
    log:
        paths.log("change/{subject}"),
    conda:
        environment("analysis")
    resources:
        expected_ms=changed.changing_ms,
        kilobytes=changed.changing_kb,
    params:
        grid=lambda w: study.datasets[w.dataset]["grid"],
        mapping=files.setting("labels"),
        form=files.header_form,
        variants=changed.variants,
        shift=study.robustness.changes.shift,
        seed=study.robustness.changes.seed,
        code=lambda w: code_with_labels("change_subject", w.dataset),
    script:
        "../workflow/scripts/change_subject.py"


rule align_changed:
    input:
        images=changed.images,
        heads=changed.folders,
    output:
        alignments=paths.changed_alignment("{shard}", "alignments.json"),
        record=paths.changed_alignment("{shard}", "record.json"),
    log:
        paths.log("align/changed/{shard}"),
    benchmark:
        paths.changed_alignment("{shard}", BENCHMARK)
    conda:
        ALIGNING
    resources:
        mem_mb=needs.registering_memory,
        runtime=changed.minutes,
        expected_ms=changed.expected_ms,
    params:
        pairs=changed.pairs,
        subjects=changed.subjects,
        moving=changed.moving,
        variants=changed.variants,
        affine=study.affine,
        code=code("align_changed"),
    script:
        "../workflow/scripts/align_changed.py"


# a rule for networks, which ask for a GPU, and one for the others
rule register_changed:
    input:
        images=changed.images,
        labels=changed.labels,
        heads=changed.folders,
        alignments=changed.alignments,
        truth=changed.truth,
        weights=files.final_weights,
        program=files.program,
        excluded=files.excluded,
    output:
        metrics=run.changed_shard("{shard}", SHARD_METRICS),
        record=run.changed_shard("{shard}", SHARD_RECORD),
    log:
        paths.log("register/{arm}-{method}-seed-{seed}-changed-{shard}"),
    benchmark:
        run.changed_shard("{shard}", BENCHMARK)
    wildcard_constraints:
        method=names(study.networks),
    conda:
        lambda w: environment(files.environment(w))
    threads: needs.threads
    resources:
        **changed.registering(gpu=1),
    params:
        block=lambda w: study.registering_block(w.method),
        pairs=changed.pairs,
        subjects=changed.subjects,
        templates=changed.templates,
        moving=changed.moving,
        variants=changed.variants,
        code=files.code,
        scoring=robustness_code(),
    script:
        "../workflow/scripts/register_changed.py"


use rule register_changed as register_changed_on_cpu with:
    wildcard_constraints:
        method=names([name for name in study.methods if name not in study.networks]),
    resources:
        **changed.registering(gpu=0),


rule gather_changed:
    input:
        metrics=lambda w: changed.shards(w, SHARD_METRICS),
    output:
        metrics=run.file(ROBUSTNESS),
    log:
        paths.log("gather/{arm}-{method}-seed-{seed}-changed"),
    localrule: True
    conda:
        environment("analysis")
    script:
        "../workflow/scripts/gather_changed.py"


rule choose_changed:
    input:
        metrics=changed.scores,
    output:
        paths.shown_change,
    log:
        paths.log("shown_change"),
    localrule: True
    conda:
        environment("analysis")
    params:
        code=code("choose_changed"),
    script:
        "../workflow/scripts/choose_changed.py"


# one registration more a run, since the displacements of changed heads are not kept
rule register_changed_shown:
    input:
        chosen=paths.shown_change,
        images=changed.images,
        labels=changed.labels,
        heads=changed.folders,
        alignments=changed.alignments,
        weights=files.final_weights,
        program=files.program,
    output:
        directory(run.file(CHANGED_SHOWN)),
    log:
        paths.log("register/{arm}-{method}-seed-{seed}-changed-shown"),
    wildcard_constraints:
        method=names(study.networks),
    conda:
        lambda w: environment(files.environment(w))
    threads: needs.threads
    resources:
        **changed.showing(gpu=1),
    params:
        block=lambda w: study.registering_block(w.method),
        subjects=changed.subjects,
        moving=changed.moving,
        code=files.code,
    script:
        "../workflow/scripts/register_changed_shown.py"


use rule register_changed_shown as register_changed_shown_on_cpu with:
    wildcard_constraints:
        method=names([name for name in study.methods if name not in study.networks]),
    resources:
        **changed.showing(gpu=0),
