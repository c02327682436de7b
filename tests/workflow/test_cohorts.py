"""IXI and OASIS from miniature archives in their exact layout, through the shipped configs to Table 1 and the pages."""

import functools
import gzip
import hashlib
import os
import sys
import threading
from contextlib import nullcontext
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from smgicnet import cli
from smgicnet.cohort.phantom import PhantomConfig, make_phantom
from smgicnet.cohort.sources import recipe, require_training_labels
from smgicnet.config.building import build
from smgicnet.config.validation import validated
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import read_image, read_labels
from smgicnet.preparation.label_protocols import label_table, map_labels
from tests.support import ROOT
from tests.support.archives import write_tar
from tests.support.snakemake import snakemake

TRAINED = {
    "type": "smgicnet",
    "network": {"channels": 4, "blocks": 1},
    "stages": [{"iterations": n, "frozen_iterations": 2, "learning_rate": 1e-3} for n in (6, 6, 40, 4)],
    "training": {"checkpoint_every": 50},
}
IN_ONE_STAGE = {"type": "icnet", "arms": ["raw"], "network": {"channels": 2}, "stages": [{"iterations": 4}]}
NEVER = {"orig": "scan", "aligned_norm": "scan", "aligned_seg35": "labels", "seg4": "labels"}  # members of no use here
# mri_synthseg cannot be installed by pip: this takes its arguments and writes labels by intensity, on a grid of its own
SYNTHSEG = """#!/usr/bin/env python
import sys
import nibabel as nib
import numpy as np
image = nib.as_closest_canonical(nib.load(sys.argv[sys.argv.index("--i") + 1]))
data = np.asarray(image.dataobj)
labels = np.select([data > 500, data > 300, data > 100], [2, 3, 4], 0).astype(np.int32)
nib.save(nib.Nifti1Image(labels, image.affine), sys.argv[sys.argv.index("--o") + 1])
"""


@functools.cache
def subjects(count):
    """Scans and label maps of generated subjects: NIfTI images in memory."""
    source = {"kind": "phantom", "shape": [60, 70, 60], "spacing": 4}
    complete = validated(source, "sources/phantom", "", "test")
    config = build(PhantomConfig, recipe(complete))
    made = [make_phantom(index, config) for index in range(count)]
    return [
        {
            kind: nib.Nifti1Image(volume.data, volume.affine)
            for kind, volume in (("scan", one.image), ("labels", one.labels))
        }
        for one in made
    ]


def seg35(labels):
    """The label map in neurite-OASIS' numbering."""
    table = label_table("seg35")
    numbers = dict(zip(table["roi"], table["label"]))
    data = map_labels(np.asarray(labels.dataobj))
    return nib.Nifti1Image(np.vectorize(lambda value: numbers.get(value, 0), otypes=[np.uint8])(data), labels.affine)


def packed(image):
    return gzip.compress(image.to_bytes(), mtime=0)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def ixi_archive(path):
    names = [
        "IXI002-Guys-0828",
        "IXI013-HH-1212",
        "IXI035-IOP-0873",
        "IXI252-HH-1693",
        "IXI417-Guys-0939",
        "IXI600-HH-2345",
    ]
    scans = {f"{name}-T1.nii.gz": packed(one["scan"]) for name, one in zip(names, subjects(6))}
    return md5(write_tar(path, scans))


def oasis_archive(path):
    members = {"subjects.txt": b"OASIS_OAS1_0001_MR1\n", "seg35_labels.txt": b"1 Left-Cerebral-White-Matter\n"}
    for number, one in enumerate(subjects(6), start=1):
        folder = f"OASIS_OAS1_{number:04d}_MR1"
        members |= {f"{folder}/{name}.nii.gz": packed(one[kind]) for name, kind in NEVER.items()}
        members[f"{folder}/norm.nii.gz"] = packed(one["scan"])
        members[f"{folder}/seg35.nii.gz"] = packed(seg35(one["labels"]))
    return md5(write_tar(path, members))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A web server with both archives: its address, and the checksums."""
    folder = tmp_path_factory.mktemp("host")
    sums = {"ixi": ixi_archive(folder / "ixi.tar"), "oasis": oasis_archive(folder / "oasis.tar")}
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sums
    server.shutdown()
    server.server_close()


def miniature(name, host, folder, method=TRAINED):
    """The shipped config with a miniature archive, a coarse grid and short trainings."""
    content = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    dataset = content["datasets"][name]
    address, sums = host
    dataset["source"] |= {"url": f"{address}/{name}.tar", "md5": sums[name]}
    dataset["source"]["subjects"] = {"train": 3, "val": 0, "test": 2}
    dataset["grid"] = {"shape": [16, 16, 16], "spacing": 13}
    content["methods"] = {"initial": {"type": "initial", "arms": ["raw"]}, method["type"]: method}
    content["evaluation"] = {"figure_pairs": ["median"]}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return content, path


@pytest.mark.long
def test_oasis_from_its_archive_to_table_1(host, tmp_path):
    content, config = miniature("oasis", host, tmp_path)
    refused = snakemake(tmp_path, "-n", "--configfile", str(config), check=False)
    assert refused.returncode != 0
    for word in ("data use agreement", "https://sites.wustl.edu/oasisbrains/", "accept_license"):
        assert word in refused.stdout
    assert not (tmp_path / "resources").exists()
    content["datasets"]["oasis"]["source"]["accept_license"] = True
    config.write_text(yaml.safe_dump(content))
    planned = snakemake(tmp_path, "-n", "--configfile", str(config)).stdout
    assert "extract_labelled_scan" in planned
    snakemake(tmp_path, "--configfile", str(config))
    results = tmp_path / "results/oasis"
    index = pd.read_csv(results / "cohort/archive.tsv", sep="\t", index_col="subject")
    assert index["split"].value_counts().to_dict() == {"train": 3, "test": 2}
    number = int(index.at["sub-004", "origin"].split("_")[2]) - 1
    scan = read_image(results / "cohort/sub-004/scan.nii.gz")
    np.testing.assert_array_equal(scan.data, np.asarray(subjects(6)[number]["scan"].dataobj))
    prepared = read_labels(results / "raw/subjects/sub-004/labels.nii").data
    assert set(np.unique(prepared)) <= {0, *label_table("seg35")["roi"]}
    assert (prepared == 2).sum() > (prepared == 10).sum() > 0  # FreeSurfer's numbers, not seg35's
    table = (results / "tables/table1.md").read_text()
    assert "SM-GICNet" in table
    quality = pd.read_csv(results / "raw/quality.tsv", sep="\t")
    assert quality["subject"].tolist() == index.index.tolist()
    assert (results / "report/quality.html").stat().st_size > 10_000
    assert "quality.html" in (results / "report/index.html").read_text()


@pytest.mark.long
def test_ixi_from_its_archive_to_table_1(host, tmp_path, monkeypatch):
    """Heads without label maps: stripped by deepbet, corrected by N4, and labelled by what stands in for synthseg."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/mri_synthseg"
    _, config = miniature("ixi", host, tmp_path, IN_ONE_STAGE)
    lacking = snakemake(tmp_path, "-n", "--configfile", str(config), check=False)
    assert lacking.returncode != 0
    assert "mri_synthseg" in lacking.stdout
    assert "datasets.ixi.preprocessing.segmentation" in lacking.stdout
    program.write_text(SYNTHSEG)
    program.chmod(0o755)
    monkeypatch.setenv(
        "PATH", f"{program.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    snakemake(tmp_path, "--configfile", str(config), "--omit-from", "plot_figure")
    results = tmp_path / "results/ixi"
    report = yaml.safe_load((results / "raw/subjects/sub-001/preprocessing.json").read_text())
    assert [step["step"] for step in report["steps"]] == ["skull strip", "bias field", "segmentation"]
    assert "ICNet" in (results / "tables/table1.md").read_text()
    assert (results / "report/quality.html").is_file()


def test_a_bids_dataset_is_checked_and_prepared(tmp_path, capsys):
    """Heads that come stripped, label maps in a derivatives folder: named by the config alone, without a table."""
    bids = tmp_path / "bids"
    for number, one in enumerate(subjects(6)[:5], start=1):
        for folder, name, kind in ((bids, "T1w", "scan"), (bids / "derivatives/smriprep", "desc-aseg_dseg", "labels")):
            path = folder / f"sub-{number:02d}/anat/sub-{number:02d}_{name}.nii.gz"
            path.parent.mkdir(parents=True)
            path.write_bytes(packed(one[kind]))
    (bids / "dataset_description.json").write_text('{"Name": "mine", "BIDSVersion": "1.9.0"}')
    source = {"kind": "bids", "path": str(bids), "derivatives": str(bids / "derivatives/smriprep")}
    source["splits"] = {"train": 3, "val": 0, "test": 2}
    dataset = {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 13}, "preprocessing": {"bias_field": "n4"}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"datasets": {"mine": dataset}, "methods": {"initial": {"type": "initial"}}}))
    assert cli.main(["check", str(config), "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    for line in (
        "3 train, 0 val, 2 test; 1 test pairs",
        "label maps: 5 of 5",
        "images: stripped (5)",
        "ready: snakemake",
    ):
        assert line in said
    target = "results/mine/raw/subjects/sub-03/image.nii"
    snakemake(tmp_path, target, "--configfile", str(config))
    report = yaml.safe_load((tmp_path / target).with_name("preprocessing.json").read_text())
    assert [step["tool"] for step in report["steps"]] == ["none", "n4"]  # auto sees that it is stripped
    assert report["labels"].endswith("sub-03_desc-aseg_dseg.nii.gz")


def test_landmarks_of_ones_own_cohort_are_scored(tmp_path):
    """Nothing is moved but for the common grids' places: the error is by hand, of two files one of which is in LPS."""
    rows = ["subject\timage\tlabels\tsplit\tlandmarks"]
    for number, (one, split) in enumerate(zip(subjects(6), ["train"] * 3 + ["test"] * 3)):
        for kind, image in one.items():
            (tmp_path / f"s{number}-{kind}.nii.gz").write_bytes(packed(image))
        named = f"s{number}.csv" if number in (3, 5) else ""
        rows.append(f"s{number}\ts{number}-scan.nii.gz\ts{number}-labels.nii.gz\t{split}\t{named}")
    (tmp_path / "people.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "s3.csv").write_text("x,y,z,label\n0,1,2,b\n10,-20,5,a\n")
    (tmp_path / "s5.csv").write_text("# CoordinateSystem = LPS\nx,y,z,label\n-10,20,10,a\n0,-1,5,b\n")
    source = {"kind": "participants", "path": str(tmp_path / "people.tsv")}
    dataset = {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 13}}
    config = tmp_path / "config.yaml"
    methods = {"initial": {"type": "initial", "arms": ["raw"]}}
    config.write_text(yaml.safe_dump({"datasets": {"mine": dataset}, "methods": methods}))
    target = "results/mine/raw/initial/seed-0/metrics.csv.gz"
    snakemake(tmp_path, target, "--configfile", str(config))
    rows = pd.read_csv(tmp_path / target)
    errors = rows[rows["metric"] == "tre_mm"].set_index(["fixed", "moving"])["value"]
    places = [read_image(tmp_path / f"results/mine/raw/subjects/{name}/image.nii").affine for name in ("s3", "s5")]
    ours, theirs = np.array([[10, -20, 5], [0, 1, 2]]), np.array([[10, -20, 10], [0, 1, 5]])  # a and b
    shift = places[1][:3, 3] - places[0][:3, 3]
    expected = np.linalg.norm(ours + shift - theirs, axis=1).mean()
    assert errors.to_dict() == pytest.approx({("s3", "s5"): expected, ("s5", "s3"): expected}, rel=1e-4)


@pytest.mark.long
def test_twins_of_several_anatomies_are_generated_registered_and_scored(tmp_path):
    """Three anatomies far apart in the world; all test pairs, of which those of twins have a truth."""
    for number, one in enumerate(subjects(3)):
        affine = one["labels"].affine.copy()
        affine[:3, 3] += [40 * number, -30 * number, 60 * number]
        (tmp_path / "maps").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(one["labels"].dataobj, affine), tmp_path / f"maps/p{number}.nii.gz")
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 2}, "shape": None, "spacing": 4}
    source["anatomies"] = {"path": str(tmp_path / "maps"), "splits": {"val": 0, "test": 2}}
    content = {
        "datasets": {"twins": {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 13}}},
        "methods": {"initial": {"type": "initial", "arms": ["raw"]}},
    }
    config = tmp_path / "config.yaml"
    run = tmp_path / "results/twins/raw/initial/seed-0"
    scored = {}
    for pairs in ("all", "twins"):
        source["pairs"] = pairs
        config.write_text(yaml.safe_dump(content))
        targets = [str((run / "metrics.csv.gz").relative_to(tmp_path)), "cohorts"]
        said = snakemake(tmp_path, *targets, "--configfile", str(config)).stdout
        assert ("render_phantom" in said) == (pairs == "all")  # which pairs there are makes no subject again
        scored[pairs] = pd.read_csv(run / "metrics.csv.gz", keep_default_na=False)
    table = pd.read_csv(tmp_path / "results/twins/cohort/participants.tsv", sep="\t", index_col="subject")
    assert table.groupby("anatomy")["split"].nunique().eq(1).all()
    every, twins = scored.values()
    assert len(every[["fixed", "moving"]].drop_duplicates()) == 12
    for rows in (twins, every[every["metric"] == "endpoint_error_mm"]):
        assert len(rows[["fixed", "moving"]].drop_duplicates()) == 4
        assert (table.loc[rows["fixed"], "anatomy"].tolist()) == table.loc[rows["moving"], "anatomy"].tolist()
    error = every.loc[every["metric"] == "endpoint_error_mm", "value"].astype(float)
    assert error.between(3, 40).all()
    assert (every.loc[every["metric"] == "parcels_dice", "roi"] == "mean").sum() == 12
    pairs = pd.read_csv(tmp_path / "results/twins/cohort/pairs.tsv", sep="\t")
    assert len(pairs) == 2


@pytest.mark.parametrize(
    ("segmentation", "methods", "refused"),
    [("given", ["net"], True), ("given", [], False), ("synthseg", ["net"], False)],
)
def test_training_subjects_without_labels_for_a_method_that_learns_from_them(segmentation, methods, refused):
    table = pd.DataFrame({"split": ["train", "train", "val", "test"], "labels": ["a", "", "", "b"]}, list("abcd"))
    datasets = {"mine": {"preprocessing": {"segmentation": segmentation}}}
    said = "datasets.mine: b has no label map, and net learns from those of the split train"
    with pytest.raises(InputError, match=said) if refused else nullcontext():
        require_training_labels({"mine": table}, datasets, methods)
