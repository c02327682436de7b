from smgicnet.provenance import hardware, read_yaml, write_record, write_text
from smgicnet.scripts import job_log
from smgicnet.statistics import read_metrics, summarise
from smgicnet.tables import table1

with job_log(snakemake.log[0]):
    metrics = read_metrics(snakemake.input.metrics)
    runs = metrics[["method", "arm"]].drop_duplicates().itertuples(index=False)
    context = {
        "subjects": metrics["fixed"].nunique(),
        "pairs": len(metrics[["fixed", "moving"]].drop_duplicates()) // 2,
        "hardware": hardware(),
    }
    table = table1(
        summarise(metrics),
        read_yaml(snakemake.input.paper),
        snakemake.wildcards.dataset,
        [(method, arm, snakemake.params.labels[method]) for method, arm in runs],
        context,
    )
    write_text(snakemake.output.md, table.to_markdown())
    write_text(snakemake.output.csv, table.to_csv())
    write_text(snakemake.output.tex, table.to_latex())
    write_record(snakemake.output.record, config=snakemake.params.config, code=snakemake.params.code)
