# Where subjects come from: rendered, or out of a published archive; who is in which split, and the pairs to test.

RENDERING_CODE = [
    "phantom.py",
    "rendering.py",
    "foreground.py",
    "label_protocols.py",
    "images.py",
    "headers.py",
    "affine_geometry.py",
    "transforms_io.py",
    LABEL_TABLE,
]


rule render_phantom:
    output:
        image="results/{dataset}/cohort/{subject}/T1w.nii.gz",
        labels="results/{dataset}/cohort/{subject}/labels.nii.gz",
        to_template="results/{dataset}/cohort/{subject}/to_template.nii",
        from_template="results/{dataset}/cohort/{subject}/from_template.nii",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names(of_kind("phantom")),
    conda:
        "../envs/torch.yaml"
    params:
        source=lambda w: recipe(DATASETS[w.dataset]["source"]),
        index=lambda w: COHORTS[w.dataset].index.get_loc(w.subject),
        code=source_digest(*RENDERING_CODE, "fields.py"),
    script:
        "../workflow/scripts/render_phantom.py"


rule render_label_map:
    input:
        lambda w: COHORTS[w.dataset].at[w.subject, "label_map"],
    output:
        image="results/{dataset}/cohort/{subject}/rendered.nii.gz",
        labels="results/{dataset}/cohort/{subject}/rois.nii.gz",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names(of_kind("label-maps")),
    conda:
        "../envs/analysis.yaml"
    params:
        source=lambda w: recipe(DATASETS[w.dataset]["source"]),
        code=source_digest(*RENDERING_CODE),
    script:
        "../workflow/scripts/render_label_map.py"


rule fetch_archive:
    output:
        "results/{dataset}/cohort/archive.tsv",
    log:
        "results/{dataset}/logs/archive.log",
    wildcard_constraints:
        dataset=names(of_kind("archive")),
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        source=lambda w: archive(w.dataset),
        code=source_digest("archive.py", "tab_separated.py"),
    script:
        "../workflow/scripts/fetch_archive.py"


rule extract_scan:
    input:
        "results/{dataset}/cohort/archive.tsv",
    output:
        image="results/{dataset}/cohort/{subject}/scan.nii.gz",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names([name for name in of_kind("archive") if not archive(name)["labels"]]),
    conda:
        "../envs/analysis.yaml"
    params:
        archive=lambda w: archive(w.dataset)["file"],
    script:
        "../workflow/scripts/extract_scan.py"


use rule extract_scan as extract_labelled_scan with:
    output:
        image="results/{dataset}/cohort/{subject}/scan.nii.gz",
        labels="results/{dataset}/cohort/{subject}/scan-labels.nii.gz",
    wildcard_constraints:
        dataset=names([name for name in of_kind("archive") if archive(name)["labels"]]),


rule write_cohort:
    output:
        participants="results/{dataset}/cohort/participants.tsv",
        pairs="results/{dataset}/cohort/pairs.tsv",
    log:
        "results/{dataset}/logs/cohort.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        table=lambda w: COHORTS[w.dataset].reset_index().to_dict("list"),
        pairs=lambda w: PAIRS[w.dataset],
    script:
        "../workflow/scripts/write_cohort.py"


rule cohorts:
    input:
        expand(
            "results/{dataset}/cohort/{table}.tsv",
            dataset=DATASETS,
            table=["participants", "pairs"],
        ),
