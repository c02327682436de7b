from smgicnet.cohort.archive import extract, read_index
from smgicnet.core.logs import job_log

with job_log(snakemake.log[0]):
    member = read_index(snakemake.input[0]).loc[snakemake.wildcards.subject]
    for kind, path in snakemake.output.items():
        extract(snakemake.params.archive, int(member[f"{kind}_offset"]), int(member[f"{kind}_size"]), path)
