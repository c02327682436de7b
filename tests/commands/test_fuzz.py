"""A short run of `tests.fuzz`, and the faults that longer ones have found, each as the smallest file that shows it."""

import gzip
import io

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.io import savemat

from smgicnet import cli
from smgicnet.config.completion import load
from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import read_tsv
from smgicnet.imaging.displacements import read_vectors
from smgicnet.imaging.headers import open_image, read_voxels
from smgicnet.imaging.transform_chain import read_affine
from smgicnet.methods.weights import export_weights, read_weights
from tests import fuzz
from tests.support.fuzz_files import small_weights
from tests.support.headers import oblique
from tests.support.headers import save as save_exactly

AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_unchanged_files_are_taken(kind, tmp_path):
    """So that an error is of a mutation."""
    for number in range(6):
        (folder := tmp_path / str(number)).mkdir()
        name = fuzz.KINDS[kind].base(folder, np.random.default_rng([5, number]))
        fuzz.KINDS[kind].run(folder, name, np.random.default_rng([6, number]))


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_mutated_files_have_a_right_result_or_a_clear_error(kind):
    outcomes = list(fuzz.fuzz([(kind, number) for number in range(34)], seed=7))
    assert [one for one in outcomes if one.verdict == "fault"] == []
    assert {one.verdict for one in outcomes} == {"right", "error"}


def test_one_mutation_again(capsys):
    assert fuzz.main(["--only", "archives:3"]) == 0
    out = capsys.readouterr().out
    assert "| archives | 1 |" in out
    assert "--seed 1 --only archives:3\n" in out


def save(path, data=None, **header):
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32) if data is None else data, AFFINE)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def test_a_gzip_file_whose_checksum_is_wrong(tmp_path):
    """nibabel stops before the checksum, and a byte of a voxel may be any."""
    path = save(tmp_path / "i.nii.gz", np.random.default_rng(0).random((30, 40, 50), dtype=np.float32))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    nib.load(path).get_fdata()
    with pytest.raises(InputError, match=r"i\.nii\.gz: not a readable image.*CRC"):
        read_voxels(open_image(path))


def test_a_gzip_file_without_an_end(tmp_path):
    path = save(tmp_path / "i.nii.gz")
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**26)))
    with pytest.raises(InputError, match=r"more than 64 MiB follow its voxels"):
        read_voxels(open_image(path))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38, 7.0])
def test_a_quaternion_that_is_none(tmp_path, value):
    path = save_exactly(tmp_path / "i.nii", qform=oblique(), quatern_c=value)
    with pytest.raises(InputError, match="not finite and invertible"):
        open_image(path)


def test_an_affine_whose_squares_are_no_numbers(tmp_path):
    image = nib.Nifti2Image(np.ones((4, 5, 6), np.float32), AFFINE)
    head = nib.Nifti2Header.from_fileobj(io.BytesIO(image.to_bytes()))
    for row, axis in enumerate("xyz"):
        head[f"srow_{axis}"][row] = 1e300
    (tmp_path / "i.nii").write_bytes(head.binaryblock + image.to_bytes()[540:])
    with pytest.raises(InputError, match="not finite and invertible"):
        open_image(tmp_path / "i.nii")


def test_a_remark_of_nibabel_names_the_file(tmp_path, caplog):
    path = tmp_path / "i.hdr"
    nib.save(nib.Nifti1Pair(np.ones((4, 5, 6), np.float32), AFFINE), path)
    content = path.read_bytes()[:348]
    path.write_bytes(content + bytes([1, 0, 0, 0]) + np.array([24, 6], "<i4").tobytes() + bytes(16))
    open_image(path)
    assert f"{path}: Extension size is not a multiple of 16 bytes" in caplog.text


def test_a_name_that_no_file_can_have(tmp_path, capsys):
    with pytest.raises(InputError, match="no such file"):
        open_image(tmp_path / ("x" * 300))
    (tmp_path / "t.tsv").write_text(f"subject\timage\ns0\t{'x' * 300}\n")
    assert cli.main(["check", str(tmp_path / "t.tsv"), "--jobs", "1"]) == 1
    assert "no such file" in capsys.readouterr().out


def test_vectors_that_are_no_displacements(tmp_path):
    path = save(tmp_path / "f.nii", np.full((4, 4, 4, 1, 3), 3e38, np.float32))
    with pytest.raises(InputError, match=r"f\.nii: it holds values of up to 3e\+38, no displacement is as long"):
        read_vectors(path)


def test_a_matrix_that_leads_nowhere(tmp_path):
    values = np.array([1e30, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]).reshape(12, 1)
    savemat(tmp_path / "a.mat", {"AffineTransform_double_3_3": values, "fixed": np.zeros((3, 1))}, format="4")
    with pytest.raises(InputError, match=r"a\.mat: its matrix is not finite and invertible"):
        read_affine(tmp_path / "a.mat")


def test_what_stands_in_a_file_does_not_steer_the_terminal(tmp_path, capsys):
    table = tmp_path / "rois\x1b[2J.tsv"
    table.write_text("label\troi\n")
    save(tmp_path / "l.nii", np.full((4, 5, 6), 2, np.uint8))
    labels = [f"--{one}-labels={tmp_path / 'l.nii'}" for one in ("fixed", "moving")]
    assert cli.main(["score", *labels, "--protocol", str(table)]) == 2
    assert "\x1b" not in capsys.readouterr().err


BOMB = "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB + "seeds: *l9\n", "values"),
        ("seeds: &s [*s]\n", "levels"),
        ("results: " + "[" * 300 + "]" * 300, "levels"),
        ("[" * 3000, "nested too deeply"),
        ("seeds: " + "9" * 5000, "not valid YAML"),
        ("day: 2020-13-45", "not valid YAML"),
        ("#" * 2**20 + "\n\n", "characters"),
    ],
)
def test_configs_that_would_take_for_ever(tmp_path, text, problem):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=problem):
        load(tmp_path / "c.yaml")


def test_a_message_does_not_repeat_a_whole_file(tmp_path):
    (tmp_path / "c.yaml").write_text(f"seeds: {'x' * 100_000}\n")
    with pytest.raises(InputError, match=r"seeds: 'xxx.* \.\.\. .*xxx' is not") as caught:
        load(tmp_path / "c.yaml")
    assert len(str(caught.value)) < 2000
    assert len(str(InputError("x" * 10**6, "y" * 10**6, "Do it"))) < 20_000


@pytest.mark.parametrize("line", ["a\tb" + "\t" * 300_000, "\t".join(f"a{n}" for n in range(100_000))])
def test_a_table_of_many_columns_takes_no_longer(tmp_path, line):
    (tmp_path / "t.tsv").write_text(f"{line}\n{line}\n")
    with fuzz.timed():
        assert len(read_tsv(tmp_path / "t.tsv")) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensor: tensor * np.nan, "not finite in float32"),
        (lambda tensor: tensor.to(torch.complex64), "not a weights file"),
        (lambda tensor: torch.zeros(1).expand(10**10), "not a weights file"),  # 40 GB of four bytes
    ],
)
def test_tensors_that_are_no_weights(tmp_path, change, problem):
    content = small_weights()
    name = next(iter(content["network"]))
    content = {**content, "network": {**content["network"], name: change(content["network"][name])}}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match=problem):
        read_weights(tmp_path / "w.pt")


def test_weights_beyond_half_precision_are_not_exported(tmp_path):
    content = small_weights()
    name = next(iter(content["network"]))
    content = {**content, "network": {**content["network"], name: content["network"][name] * 0 + 1e6}}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match="not finite in float16"):
        export_weights(tmp_path / "w.pt", tmp_path / "half.pt")
    assert not (tmp_path / "half.pt").exists()
