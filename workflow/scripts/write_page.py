import json
from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.publication.report import Figure, Page, Run, Viewer, changed_view, write_page

with job_log(snakemake.log[0]):
    given, params, dataset = snakemake.input, snakemake.params, snakemake.wildcards.dataset
    tables: dict[str, dict] = {}
    for path in map(Path, given.tables):
        tables.setdefault(path.stem, {})[path.suffix.removeprefix(".")] = path
    chosen = json.loads(Path(given.pairs).read_text())
    viewer = Viewer(
        pairs={f"{rule} overlap": tuple(pair) for rule, pair in chosen.items()},
        runs=[
            Run(method, arm, params.labels[f"{method}/{arm}"], folder, metrics)
            for (method, arm), folder, metrics in zip(params.runs, given.shown, given.metrics)
        ],
        images={Path(path).parent.name: path for path in given.images},
        initial=given.initial[0] if given.initial else None,
        changed=changed_view(dict(given.items()), params.changed),
    )
    page = Page(
        title=f"Registration of {dataset}",
        dataset=dataset,
        labels=params.labels,
        reference=tuple(params.reference),
        tables=tables,
        figures=[Figure(*entry) for entry in zip(given.figures, params.titles, params.captions)],
        viewer=viewer,
        audit=next(iter(given.audit), None),
        records=dict(zip(["audit"], given.audit_record)) | {name: files["json"] for name, files in tables.items()},
        quality="quality.html",
    )
    write_page(snakemake.output[0], page)
