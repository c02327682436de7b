# Images rendered from a folder of label maps.


rule render_label_map:
    input:
        lambda w: study.cohort(w.dataset).at[w.subject, "label_map"],
    output:
        **made["label-maps"],
    log:
        paths.log("cohort/{subject}"),
    wildcard_constraints:
        dataset=names(study.of_kind("label-maps")),
    conda:
        f"../{environment('analysis')}"
    resources:
        expected_ms=needs.without_torch(4),
        kilobytes=SCAN_KB,
    params:
        source=lambda w: recipe(study.datasets[w.dataset]["source"]),
        code=code("render_label_map"),
    script:
        "../../workflow/scripts/render_label_map.py"
