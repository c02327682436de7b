# The mean image of a dataset's people: a first mean, everybody's map from it, the next mean, and so on.


rule start_template:
    input:
        images=files.template_images,
        weights=files.template_weights,
        excluded=files.excluded,
    output:
        image=paths.template("0", TEMPLATE),
        record=paths.template("0", TEMPLATE_RECORD),
    log:
        paths.log("template/0"),
    conda:
        environment("torch")
    resources:
        mem_mb=needs.cohort_memory,
        expected_ms=needs.with_torch(30),
    params:
        quality=study.config["template"]["quality"],
        spacing=lambda w: study.datasets[w.dataset]["grid"]["spacing"],
        code=code("start_template"),
    script:
        "../workflow/scripts/start_template.py"


rule bring_template:
    input:
        template=paths.template("{round}", TEMPLATE),
        image=paths.prepared("raw", "{subject}", "image"),
        weights=files.template_weights,
    output:
        velocity=paths.template("{round}", "members/{subject}/velocity.nii.gz"),
        record=paths.template("{round}", "members/{subject}/registration.json"),
    log:
        paths.log("template/{round}-{subject}"),
    conda:
        environment("torch")
    threads: study.config["threads"]
    resources:
        gpu=1,
        torch_threads=study.config["threads"],
        mem_mb=needs.template_memory,
        expected_ms=needs.with_torch(60),
    params:
        quality=study.config["template"]["quality"],
        code=code("bring_template"),
    script:
        "../workflow/scripts/bring_template.py"


rule average_template:
    input:
        before=lambda w: study.paths(w.dataset).template(int(w.round) - 1, TEMPLATE),
        images=files.template_images,
        members=files.template_members,
        weights=files.template_weights,
    output:
        image=paths.template("{round}", TEMPLATE),
        record=paths.template("{round}", TEMPLATE_RECORD),
    log:
        paths.log("template/{round}"),
    wildcard_constraints:
        round=r"[1-9]\d*",
    conda:
        environment("torch")
    resources:
        mem_mb=needs.template_memory,
        expected_ms=needs.with_torch(60),
    params:
        quality=study.config["template"]["quality"],
        code=code("average_template"),
    script:
        "../workflow/scripts/average_template.py"


rule template:
    input:
        for_datasets(paths.template(study.config["template"]["rounds"], TEMPLATE)),
