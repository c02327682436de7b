# From a scan to the common grid: skull strip, bias field, segmentation, each only where the config asks for it.


rule extract_brain:
    input:
        unpack(files.scan),
    output:
        image=paths.step("{subject}", "brain.nii.gz"),
        mask=paths.step("{subject}", "mask.nii.gz"),
        record=paths.step("{subject}", "brain.json"),
    log:
        paths.log("brain/{subject}"),
    conda:
        lambda w: environment(files.stripping_environment(w))
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 6000 * attempt,
        expected_ms=needs.without_torch(10),
        guessed=1,
        kilobytes=SCAN_KB,
    params:
        tool=files.setting("skull_strip"),
        form=files.header_form,
        code=code("extract_brain"),
    script:
        "../workflow/scripts/extract_brain.py"


rule correct_bias:
    input:
        unpack(files.stripped),
    output:
        image=paths.step("{subject}", "corrected.nii.gz"),
        record=paths.step("{subject}", "bias.json"),
    log:
        paths.log("bias/{subject}"),
    conda:
        environment("ants")
    resources:
        expected_ms=needs.without_torch(30),
        kilobytes=SCAN_KB,
    params:
        form=files.header_form,
        code=code("correct_bias"),
    script:
        "../workflow/scripts/correct_bias.py"


rule segment:
    input:
        unpack(files.scan),
    output:
        labels=paths.step("{subject}", "labels.nii.gz"),
        record=paths.step("{subject}", "segmentation.json"),
    log:
        paths.log("segment/{subject}"),
    conda:
        environment("analysis")
    threads: 4
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * (24 if files.setting("segmentation")(w) == "recon-all" else 2) * attempt,
        expected_ms=needs.without_torch(300),
        guessed=1,
        kilobytes=SCAN_KB,
    params:
        tool=files.setting("segmentation"),
        form=files.header_form,
        folder=lambda w: study.paths(w.dataset).segmentation,  # of the tool, which resumes there
        code=code("segment_subject"),
    script:
        "../workflow/scripts/segment_subject.py"


rule preprocess:
    input:
        unpack(files.source),
        records=files.step_records,
        truth=files.made_truth,
    output:
        **{kind: paths.prepared("raw", "{subject}", kind) for kind in PREPARED},
    log:
        paths.log("preprocess/{subject}"),
    conda:
        environment("analysis")
    resources:
        expected_ms=needs.without_torch(0.3),
        kilobytes=needs.prepared_kb,
    params:
        grid=lambda w: study.datasets[w.dataset]["grid"],
        mapping=files.setting("labels"),
        form=files.header_form,
        code=lambda w: code_with_labels("preprocess_subject", w.dataset),
    script:
        "../workflow/scripts/preprocess_subject.py"


rule assess_quality:
    input:
        images=files.every("image"),
        labels=files.every("labels"),
        reports=files.every("preprocessing"),
    output:
        table=paths.quality,
        excluded=paths.excluded,
    log:
        paths.log("quality"),
    conda:
        environment("analysis")
    resources:
        mem_mb=needs.cohort_memory,
    params:
        subjects=lambda w: study.subjects(w.dataset),
        splits=lambda w: study.cohort(w.dataset).loc[study.subjects(w.dataset), "split"].tolist(),
        quality=lambda w: study.datasets[w.dataset]["quality"],
        code=code("assess_quality"),
    script:
        "../workflow/scripts/assess_quality.py"


rule write_quality_page:
    input:
        table=paths.quality,
        images=files.every("image"),
        labels=files.every("labels"),
    output:
        paths.quality_page,
    log:
        paths.log("quality_page"),
    conda:
        environment("analysis")
    resources:
        mem_mb=needs.cohort_memory,
        kilobytes=PAGE_KB,
    params:
        subjects=lambda w: study.subjects(w.dataset),
        code=code("write_quality_page"),
    script:
        "../workflow/scripts/write_quality_page.py"


rule quality:
    input:
        for_datasets(paths.quality_page),
