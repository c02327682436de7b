from pathlib import Path

from smgicnet.config import build
from smgicnet.images import write_volume
from smgicnet.phantom import PhantomConfig, make_phantom
from smgicnet.scripts import job_log

with job_log(snakemake.log[0]):
    subject = make_phantom(snakemake.params.index, build(PhantomConfig, snakemake.params.source))
    for name, path in snakemake.output.items():
        volume = getattr(subject, name)
        write_volume(Path(path), volume.data, volume.affine)
