# Scans out of a published archive, which is fetched once and never unpacked as a whole.


def of_archives(labelled):
    """A constraint to the datasets from an archive with label maps, or without."""
    return names([name for name in study.of_kind("archive") if bool(archive(name)["labels"]) == labelled])


def archive(dataset):
    """The source of a dataset from an archive."""
    return study.datasets[dataset]["source"]


rule fetch_archive:
    output:
        f"{paths.cohort}/archive.tsv",
    log:
        paths.log("archive"),
    wildcard_constraints:
        dataset=names(study.of_kind("archive")),
    localrule: True
    conda:
        f"../{environment('analysis')}"
    resources:
        expected_ms=needs.without_torch(600),
        guessed=1,
    params:
        source=lambda w: archive(w.dataset),
        code=code("fetch_archive"),
    script:
        "../../workflow/scripts/fetch_archive.py"


rule extract_scan:
    input:
        rules.fetch_archive.output,
    output:
        image=made("archive")["image"],
    log:
        paths.log("cohort/{subject}"),
    wildcard_constraints:
        dataset=of_archives(labelled=False),
    conda:
        f"../{environment('analysis')}"
    resources:
        expected_ms=needs.without_torch(1),
        kilobytes=SCAN_KB,
    params:
        archive=lambda w: archive(w.dataset)["file"],
    script:
        "../../workflow/scripts/extract_scan.py"


use rule extract_scan as extract_labelled_scan with:
    output:
        **made("archive"),
    wildcard_constraints:
        dataset=of_archives(labelled=True),
