from smgicnet.bias_field import correct_bias
from smgicnet.images import write_volume
from smgicnet.provenance import write_record
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    image, record = correct_bias(snakemake.input.image, snakemake.input.get("mask"), snakemake.params.form)
    write_volume(snakemake.output.image, image.data, image.affine)
    write_record(snakemake.output.record, step="bias field", image=snakemake.input.image, **record)
