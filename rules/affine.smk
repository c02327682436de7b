# The affine arm: training subjects onto one of them, test pairs moving to fixed.

AFFINE_CODE = ["affine.py", "align_job.py", "flirt.py" if ENGINE == "flirt" else "ants_affine.py", "images.py"]


rule align_subject:
    input:
        unpack(source_files),
        prepared="results/{dataset}/raw/subjects/{subject}/image.nii",
        reference=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "train")[:1], "image")[0],
    output:
        image="results/{dataset}/affine/subjects/{subject}/image.nii",
        labels="results/{dataset}/affine/subjects/{subject}/labels.nii",
        report="results/{dataset}/affine/subjects/{subject}/preprocessing.json",
    log:
        "results/{dataset}/logs/align/subjects/{subject}.log",
    conda:
        f"../envs/{'fsl' if ENGINE == 'flirt' else 'ants'}.yaml"
    params:
        grid=lambda w: DATASETS[w.dataset]["grid"],
        mapping=lambda w: preparation(w.dataset)["labels"],
        affine=AFFINE,
        code=lambda w: source_digest(*AFFINE_CODE) + preparing_code(w.dataset),
    script:
        "../workflow/scripts/align_subject.py"


rule align_pairs:
    input:
        lambda w: prepared(w.dataset, "raw", shard_subjects(w), "image"),
    output:
        alignments="results/{dataset}/affine/alignments/{shard}/alignments.json",
        record="results/{dataset}/affine/alignments/{shard}/record.json",
    log:
        "results/{dataset}/logs/align/pairs/{shard}.log",
    benchmark:
        "results/{dataset}/affine/alignments/{shard}/benchmark.tsv"
    conda:
        f"../envs/{'fsl' if ENGINE == 'flirt' else 'ants'}.yaml"
    resources:
        mem_mb=lambda w, attempt: registering_needs(w, attempt)[0],
        runtime=lambda w, attempt: registering_needs(w, attempt)[1],
    params:
        pairs=shard_pairs,
        affine=AFFINE,
        code=source_digest(*AFFINE_CODE),
    script:
        "../workflow/scripts/align_pairs.py"
