# From a cohort to subjects on the common grid, and the pairs to test.

RENDERING_CODE = ["phantom.py", "rendering.py", "preprocessing.py", "images.py", "transforms_io.py", LABEL_TABLE]


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
        source=lambda w: recipe(w.dataset),
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
        source=lambda w: recipe(w.dataset),
        code=source_digest(*RENDERING_CODE),
    script:
        "../workflow/scripts/render_label_map.py"


rule write_cohort:
    output:
        participants="results/{dataset}/cohort/participants.tsv",
        pairs="results/{dataset}/cohort/pairs.tsv",
    log:
        "results/{dataset}/logs/cohort.log",
    conda:
        "../envs/analysis.yaml"
    params:
        table=lambda w: COHORTS[w.dataset].reset_index().to_dict("list"),
        pairs=lambda w: PAIRS[w.dataset],
    script:
        "../workflow/scripts/write_cohort.py"


rule preprocess:
    input:
        unpack(source_files),
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
        code=source_digest("preprocessing.py", "images.py", LABEL_TABLE),
    script:
        "../workflow/scripts/preprocess_subject.py"


rule tabulate_subjects:
    input:
        lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "train", "val", "test"), "preprocessing"),
    output:
        "results/{dataset}/raw/subjects.tsv",
    log:
        "results/{dataset}/logs/subjects.log",
    conda:
        "../envs/analysis.yaml"
    script:
        "../workflow/scripts/tabulate_subjects.py"


rule cohorts:
    input:
        expand(
            "results/{dataset}/cohort/{table}.tsv",
            dataset=DATASETS,
            table=["participants", "pairs"],
        ),
