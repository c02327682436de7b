from smgicnet.comparison_tables import comparison_table, roi_tables
from smgicnet.comparisons import compare, merge_sides
from smgicnet.provenance import merge_records, write_text
from smgicnet.scripts import job_log
from smgicnet.statistics import cohort_size, read_metrics, runs

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    record = merge_records(
        snakemake.input.records, snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code
    )
    labels, reference = snakemake.params.labels, tuple(snakemake.params.reference)
    comparisons = compare(
        merge_sides(metrics) if snakemake.params.merge_sides else metrics,
        reference,
        [run for run in runs(metrics) if run != reference],
        resamples=snakemake.params.resamples,
        seed=snakemake.params.seed,
    )
    context = {
        **cohort_size(metrics),
        "dataset": snakemake.wildcards.dataset,
        "reference": labels["/".join(reference)],
        "resamples": snakemake.params.resamples,
        "affine": record.get("affine", []),
    }
    tables = [comparison_table(comparisons, labels, context), *roi_tables(comparisons, labels, context)]
    write_text(snakemake.output.csv, comparisons.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(snakemake.output.md, "\n".join(table.to_markdown() for table in tables))
    write_text(snakemake.output.tex, "\n".join(table.to_latex() for table in tables))
