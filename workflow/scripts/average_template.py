from pathlib import Path

from smgicnet.config.qualities import qualities
from smgicnet.core.logs import job_log
from smgicnet.jobs.template import Registrar, average_template

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    registrar = Registrar(Path(given.weights), {"refinement": qualities()[params.quality]})
    images, members = ([Path(path) for path in paths] for paths in (given.images, given.members))
    folders = [path.parent for path in members]
    average_template(Path(given.before), images, folders, registrar, Path(snakemake.output.image).parent)
