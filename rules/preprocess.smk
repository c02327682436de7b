# From a scan to the common grid: skull strip, bias field, segmentation, each only where the config asks for it.


rule extract_brain:
    input:
        unpack(scan_files),
    output:
        image="results/{dataset}/steps/{subject}/brain.nii.gz",
        mask="results/{dataset}/steps/{subject}/mask.nii.gz",
        record="results/{dataset}/steps/{subject}/brain.json",
    log:
        "results/{dataset}/logs/brain/{subject}.log",
    conda:
        lambda w: tool_environment(preparation(w.dataset)["skull_strip"])
    threads: 2
    resources:
        mem_mb=lambda w, attempt: 6000 * attempt,
    params:
        tool=lambda w: preparation(w.dataset)["skull_strip"],
        form=lambda w: header_form(preparation(w.dataset)),
        code=source_digest(
            "brain_extraction.py", "foreground.py", "images.py", "headers.py", "affine_geometry.py", "tools.py"
        ),
    script:
        "../workflow/scripts/extract_brain.py"


rule correct_bias:
    input:
        unpack(stripped_files),
    output:
        image="results/{dataset}/steps/{subject}/corrected.nii.gz",
        record="results/{dataset}/steps/{subject}/bias.json",
    log:
        "results/{dataset}/logs/bias/{subject}.log",
    conda:
        "../envs/ants.yaml"
    params:
        form=lambda w: header_form(preparation(w.dataset)),
        code=source_digest("bias_field.py", "foreground.py", "images.py", "headers.py", "affine_geometry.py"),
    script:
        "../workflow/scripts/correct_bias.py"


rule segment:
    input:
        unpack(scan_files),
    output:
        labels="results/{dataset}/steps/{subject}/labels.nii.gz",
        record="results/{dataset}/steps/{subject}/segmentation.json",
    log:
        "results/{dataset}/logs/segment/{subject}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 4
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * (24 if preparation(w.dataset)["segmentation"] == "recon-all" else 2) * attempt,
    params:
        tool=lambda w: preparation(w.dataset)["segmentation"],
        form=lambda w: header_form(preparation(w.dataset)),
        folder=lambda w: f"results/{w.dataset}/segmentation",  # of the tool, which resumes there
        code=source_digest("segmentation.py", "images.py", "headers.py", "affine_geometry.py", "tools.py"),
    script:
        "../workflow/scripts/segment_subject.py"


rule preprocess:
    input:
        unpack(source_files),
        records=step_records,
    output:
        image="results/{dataset}/raw/subjects/{subject}/image.nii",
        labels="results/{dataset}/raw/subjects/{subject}/labels.nii",
        report="results/{dataset}/raw/subjects/{subject}/preprocessing.json",
    log:
        "results/{dataset}/logs/preprocess/{subject}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        grid=lambda w: DATASETS[w.dataset]["grid"],
        mapping=lambda w: preparation(w.dataset)["labels"],
        form=lambda w: header_form(preparation(w.dataset)),
        code=lambda w: preparing_code(w.dataset),
    script:
        "../workflow/scripts/preprocess_subject.py"


rule assess_quality:
    input:
        images=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, *SPLITS), "image"),
        labels=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, *SPLITS), "labels"),
        reports=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, *SPLITS), "preprocessing"),
    output:
        table="results/{dataset}/raw/quality.tsv",
        excluded="results/{dataset}/raw/excluded.txt",
    log:
        "results/{dataset}/logs/quality.log",
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=cohort_memory,
    params:
        subjects=lambda w: subjects(w.dataset, *SPLITS),
        splits=lambda w: COHORTS[w.dataset].loc[subjects(w.dataset, *SPLITS), "split"].tolist(),
        quality=lambda w: DATASETS[w.dataset]["quality"],
        code=source_digest("quality.py", "foreground.py", "label_protocols.py", "tab_separated.py"),
    script:
        "../workflow/scripts/assess_quality.py"


rule write_quality_page:
    input:
        table="results/{dataset}/raw/quality.tsv",
        images=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, *SPLITS), "image"),
        labels=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, *SPLITS), "labels"),
    output:
        "results/{dataset}/report/quality.html",
    log:
        "results/{dataset}/logs/quality_page.log",
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=cohort_memory,
    params:
        subjects=lambda w: subjects(w.dataset, *SPLITS),
        code=source_digest(*PAGE_CODE, "quality.py", "tab_separated.py"),
    script:
        "../workflow/scripts/write_quality_page.py"


rule quality:
    input:
        expand("results/{dataset}/report/quality.html", dataset=DATASETS),
