from snakemake.utils import min_version

min_version("9.5")


# a config file that is named on the command line stands alone: it is not merged into the default one
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/train.smk"
include: "rules/register.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.table1.input,
        rules.figures.input,
        rules.cohorts.input,
