# The affine arm: training subjects onto one of them, test pairs moving to fixed.

ALIGNING = environment({"flirt": "fsl", "pose": "torch"}.get(study.affine["engine"], "ants"))


rule align_subject:
    input:
        unpack(files.source),
        prepared=paths.prepared("raw", "{subject}", "image"),
        reference=lambda w: files.prepared(w, study.subjects(w.dataset, "train")[:1], "image")[0],
    output:
        **{kind: paths.prepared("affine", "{subject}", kind) for kind in PREPARED},
    log:
        paths.log("align/subjects/{subject}"),
    conda:
        ALIGNING
    resources:
        expected_ms=needs.aligning_ms,
        kilobytes=needs.prepared_kb,
    params:
        grid=lambda w: study.datasets[w.dataset]["grid"],
        mapping=lambda w: study.datasets[w.dataset]["preprocessing"]["labels"],
        form=files.header_form,
        affine=study.affine,
        code=lambda w: code_with_labels("align_subject", w.dataset),
    script:
        "../workflow/scripts/align_subject.py"


rule align_pairs:
    input:
        lambda w: files.prepared(w, files.shard_subjects(w), "image"),
    output:
        alignments=paths.alignment("{shard}", "alignments.json"),
        record=paths.alignment("{shard}", "record.json"),
    log:
        paths.log("align/pairs/{shard}"),
    benchmark:
        paths.alignment("{shard}", BENCHMARK)
    conda:
        ALIGNING
    resources:
        mem_mb=needs.registering_memory,
        runtime=needs.registering_minutes,
        expected_ms=needs.registering_ms,
    params:
        pairs=files.shard_pairs,
        affine=study.affine,
        code=code("align_pairs"),
    script:
        "../workflow/scripts/align_pairs.py"
