# Scans out of a published archive, which is fetched once and never unpacked as a whole.


archives = {name: study.datasets[name]["source"] for name in study.of_kind("archive")}


rule fetch_archive:
    output:
        f"{paths.cohort}/archive.tsv",
    log:
        paths.log("archive"),
    wildcard_constraints:
        dataset=names(archives),
    localrule: True
    conda:
        f"../{environment('analysis')}"
    resources:
        expected_ms=needs.without_torch(600),
        guessed=1,
    params:
        source=lambda w: archives[w.dataset],
        code=code("fetch_archive"),
    script:
        "../../workflow/scripts/fetch_archive.py"


rule extract_scan:
    input:
        rules.fetch_archive.output,
    output:
        image=made["archive"]["image"],
    log:
        paths.log("cohort/{subject}"),
    wildcard_constraints:
        dataset=names([name for name, source in archives.items() if not source["labels"]]),
    conda:
        f"../{environment('analysis')}"
    resources:
        expected_ms=needs.without_torch(1),
        kilobytes=SCAN_KB,
    params:
        archive=lambda w: archives[w.dataset]["file"],
    script:
        "../../workflow/scripts/extract_scan.py"


use rule extract_scan as extract_labelled_scan with:
    output:
        **made["archive"],
    wildcard_constraints:
        dataset=names([name for name, source in archives.items() if source["labels"]]),
