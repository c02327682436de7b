from snakemake.utils import min_version

min_version("9.5")


# a config file that is named on the command line stands alone: it is not merged into the default one
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/package.smk"
include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/preprocess.smk"
include: "rules/affine.smk"
include: "rules/weights.smk"
include: "rules/train.smk"
include: "rules/register.smk"
include: "rules/robustness.smk"
include: "rules/template.smk"
include: "rules/programs.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/ablations.smk"
include: "rules/report.smk"
include: "rules/arena.smk"


rule all:
    default_target: True
    input:
        rules.table1.input,
        rules.table2.input,
        rules.table3.input,
        rules.comparisons.input,
        rules.figures.input,
        rules.audit.output,
        rules.page.input,
        rules.quality.input,
        rules.cohorts.input,
