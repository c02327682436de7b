"""The audit finds what is known to be wrong in the paper's numbers, and says so only while it is."""

import copy
import math

import numpy as np
import pytest
import torch
import yaml

from smgicnet.publication.audit import audit, claims, columns, effect_size, folding
from smgicnet.publication.audit.text import DISAGREES, IN_ORDER, UNEXPLAINED
from smgicnet.registration.fields import exp
from tests.support import ROOT

D = {  # Cohen's d by hand from Table 1
    "IXI": {"ICNet w.affine": 0.738, "LapIRN w.affine": -0.055, "ICNet": 2.856, "LapIRN": 1.481, "SyN": 0.363},
    "OASIS": {"ICNet w.affine": 1.029, "LapIRN w.affine": 0.247, "ICNet": 3.728, "LapIRN": 2.311, "SyN": 0.468},
}


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


@pytest.fixture
def paper(shipped):
    return copy.deepcopy(shipped)


@pytest.fixture
def consistent(shipped):
    """The paper as it could be if nothing in it were to be found."""
    paper = copy.deepcopy(shipped)
    ixi, oasis = paper["table1"]["IXI"], paper["table1"]["OASIS"]
    oasis["dice"]["SyN"] = {"mean": 0.741, "sd": 0.098}
    paper["table3"]["IXI"]["dice"]["SynthMorph"] = {"mean": 0.481, "sd": 0.270}
    ixi["dice"]["LapIRN w.affine"] = {"mean": 0.783, "sd": 0.105}
    for metrics in (ixi, oasis):
        for label, cell in metrics["seconds"].items():
            if label.endswith("w.affine"):
                cell["sd"] += 0.3
        for cell in metrics["folds_fraction"].values():
            cell.update(mean=0.0, sd=0.0)
    paper["claims"] = [claim for claim in paper["claims"] if claim["higher"] == "Ours"]
    paper["counts"]["OASIS"]["test_pairs"] = 1770
    for e in effect_size.effects(paper):
        paper["table2"][e.dataset]["cohens_d"][e.label] = round(e.value, 3)
    return paper


@pytest.fixture
def small_fields(monkeypatch):
    measure = folding.measure
    monkeypatch.setattr(folding, "measure", lambda seeds: measure(seeds, size=16))


@pytest.fixture(scope="module")
def values():
    """Fractions by (kind, statistic) at the audit's own size."""
    return folding.measure([5, 6]).set_index(["kind", "statistic"])["mean"]


def verdicts(section):
    return [finding.verdict for finding in section.findings]


def text(section):
    return " ".join("\n".join(section.blocks).split())


def test_nine_of_ten_effect_sizes_disagree_and_one_has_the_wrong_sign(paper):
    found = effect_size.effects(paper)
    assert {name: {e.label: round(e.value, 3) for e in found if e.dataset == name} for name in D} == D
    assert [(e.dataset, e.label) for e in found if e.agrees] == [("OASIS", "LapIRN w.affine")]
    assert [(e.dataset, e.label) for e in found if e.opposite] == [("IXI", "LapIRN w.affine")]
    section = effect_size.section(paper)
    assert verdicts(section) == [DISAGREES, DISAGREES]
    assert "9 of the 10 printed values lie outside their range. Of these, 3 are larger" in text(section)


def test_a_row_that_agrees_is_said_to_agree(paper):
    paper["table2"]["IXI"]["cohens_d"]["LapIRN w.affine"] = -0.055
    section = effect_size.section(paper)
    assert verdicts(section) == [DISAGREES, IN_ORDER]
    assert "8 of the 10 printed values lie outside" in text(section)
    assert "none of the 10 printed values have the opposite sign" in section.findings[1].finding


@pytest.mark.parametrize("definition", effect_size.DEFINITIONS)
def test_the_range_holds_all_that_rounds_to_the_printed_numbers_and_no_more(definition):
    numbers = np.array([0.797, 0.137, 0.714, 0.081])
    span = effect_size.effect_range(numbers, definition)
    moved = numbers + np.random.default_rng(0).uniform(-0.0005, 0.0005, (20_000, 4))
    values = np.array([effect_size.DEFINITIONS[definition](*row) for row in moved])
    assert span.low <= values.min() <= span.low + 0.05 * (span.high - span.low)
    assert span.high - 0.05 * (span.high - span.low) <= values.max() <= span.high


def test_a_printed_number_stands_for_what_rounds_to_it():
    span = effect_size.Range(0.2468, 0.2567)
    assert [span.meets(d) for d in (0.246, 0.247, 0.257, 0.258)] == [False, True, True, False]
    assert effect_size.Range(0.2463, 0.2464).meets(0.246)
    assert not effect_size.Range(0.2463, 0.2464).meets(0.247)


def test_a_paired_effect_size_lies_between_its_extremes():
    generator = np.random.default_rng(0)
    ours = generator.normal(0.8, 0.1, 500)
    other = 0.5 * ours + generator.normal(0.3, 0.05, 500)
    d_z = (ours - other).mean() / (ours - other).std()
    low, high = effect_size.DEFINITIONS["SD of the paired differences (d_z), for some correlation"](
        ours.mean(), ours.std(), other.mean(), other.std()
    )
    assert low < d_z < high


def test_columns_that_were_mixed_are_found_and_chance_is_stated(consistent):
    assert effect_size.mixtures(consistent) == ([], 0, 0.0)
    dice = consistent["table1"]
    ours, other = dice["IXI"]["dice"]["Ours"], dice["OASIS"]["dice"]["ICNet"]
    d = (ours["mean"] - other["mean"]) / math.sqrt((ours["sd"] ** 2 + other["sd"] ** 2) / 2)
    consistent["table2"]["IXI"]["cohens_d"]["ICNet"] = round(d, 3)
    found, tried, expected = effect_size.mixtures(consistent)
    assert ("IXI", "IXI", "OASIS", "OASIS") in [m.sources for m in found]
    assert {(m.effect.dataset, m.effect.label) for m in found} == {("IXI", "ICNet")}
    assert tried == 15
    assert 0 < expected < 1


def test_mixtures_of_the_paper_are_no_more_than_chance(paper):
    found, tried, expected = effect_size.mixtures(paper)
    assert tried == 9 * 15
    assert len({m.effect.name for m in found}) == 2 < expected
    assert "no evidence of mixed columns" in text(effect_size.section(paper))


def test_covered_share_of_a_span():
    margin = effect_size.MARGIN
    ranges = [
        effect_size.Range(margin, 1 - margin),
        effect_size.Range(0.5, 2 - margin),
        effect_size.Range(3, 4 - margin),
    ]
    assert effect_size._covered(ranges) == pytest.approx((2 + 1 + margin) / 4)
    assert effect_size._covered([]) == 0


def test_pairs_of_sixty_subjects(paper):
    assert [(c.dataset, c.computed) for c in claims.counts(paper) if not c.agrees] == [("OASIS", 1770)]
    assert "no number of subjects has 1,775 pairs" in text(claims.counts_section(paper))
    for printed, note in ((3540, "number of ordered pairs of 60"), (1830, "pairs of 61"), (1770, "")):
        paper["counts"]["OASIS"]["test_pairs"] = printed
        section = claims.counts_section(paper)
        assert note in text(section)
        assert verdicts(section)[1] == (DISAGREES if note else IN_ORDER)


def test_a_dice_that_differs_between_abstract_and_table(paper):
    paper["abstract"]["dice"]["IXI"] = 0.807
    assert verdicts(claims.counts_section(paper)) == [IN_ORDER, DISAGREES, DISAGREES]


def test_equal_cells(paper, consistent):
    found, tried, expected = columns.equal_cells(paper)
    assert [(a.label, a.dataset, b.label, b.dataset) for a, b in found] == [
        ("SyN", "IXI", "SyN", "OASIS"),
        ("LapIRN", "IXI", "SynthMorph", "IXI"),
    ]
    assert tried == math.comb(20, 2) + math.comb(10, 2) * 2  # Dice, folds without SyN, seconds without SyN
    assert expected < 0.1
    assert columns.equal_cells(consistent)[0] == []


def test_equal_columns_are_told_from_equal_cells(paper):
    assert "SyN in IXI and OASIS, on 30 and 60 test subjects: 3 of 3" in text(columns.equal_cells_section(paper))
    paper["table1"]["OASIS"]["seconds"]["SyN"]["mean"] = 3000
    assert "2 of 3 printed rows are the same (DSC, |JD| ≤ 0)" in text(columns.equal_cells_section(paper))


def test_affine_times(paper, consistent):
    rows = columns.affine_times(paper)
    assert [round(row.difference, 3) for row in rows] == [7.641, 7.643, 7.200, 7.203]
    assert all(row.same_sd for row in rows)
    assert rows[1].step_sd == pytest.approx(math.sqrt(0.0065**2 - 0.0055**2))
    section = columns.times_section(paper)
    assert verdicts(section) == [UNEXPLAINED]
    assert "IXI: the differences are 0.002 s apart, 0.03% of the larger, and within" in text(section)
    assert "OASIS: the differences are 0.003 s apart, 0.04% of the larger, and beyond" in text(section)
    section = columns.times_section(consistent)
    assert verdicts(section) == [IN_ORDER]
    assert "none of the 4 SDs are the same" in section.findings[0].finding


def test_crossed_sds(paper):
    (crossing,), tried, expected = columns.crossed_sds(paper)
    assert crossing == columns.CrossedSDs("dice", "LapIRN w.affine", "Ours", "IXI", "OASIS")
    assert tried == math.comb(4, 2)
    assert expected < 0.01
    before = copy.deepcopy(paper)
    changed = columns.exchange_sds(paper, crossing, "Ours")
    assert paper == before
    assert changed["table1"]["IXI"]["dice"]["Ours"] == {"mean": 0.797, "sd": 0.069}
    assert "Table 2 does not support an exchange: 1 row agrees" in text(columns.crossed_section(paper))
    paper["table1"]["IXI"]["dice"]["Ours"]["sd"] = 0.140
    assert columns.crossed_sds(paper)[0] == []


def test_claims_of_a_higher_dice(paper):
    failed = [claim for row in claims.claims(paper) for claim in row if not claim.holds]
    assert [(c.place, c.dataset, c.rival, round(c.margin, 3)) for c in failed] == [
        ("Appendix B", "IXI", "LapIRN w.affine", -0.006)
    ]
    section = claims.claims_section(paper)
    assert verdicts(section) == [DISAGREES]
    assert "On IXI, Section 5.1 puts LapIRN w.affine above Ours, Appendix B the reverse." in text(section)
    assert text(section).count("the reverse") == 1
    paper["table1"]["IXI"]["dice"]["Ours"]["mean"] = 0.81
    del paper["claims"][1]
    section = claims.claims_section(paper)
    assert verdicts(section) == [IN_ORDER]
    assert "All 3 claims are borne out" in text(section)
    assert "reverse" not in text(section)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [(0, (0, 0)), (60_000, (0, 0)), (60_001, (1, 0)), (110_000, (1, 0)), (110_001, (2, 1)), (288_368, (5, 4))],
)
def test_halvings(iterations, expected):
    assert claims.halvings(iterations, {"after": 60_000, "every": 50_000}) == expected


def test_schedule(paper):
    section = claims.schedule_section(paper)
    assert verdicts(section) == [IN_ORDER]
    assert "288,368" in text(section)
    assert "144,184" in text(section)
    paper["training"]["batch_size"] = 2  # 72,092 iterations: the first reduction may come at 60,000 or not at all
    assert "over ordered pairs. If it is a pass over unordered pairs or subjects" in text(
        claims.schedule_section(paper)
    )
    paper["training"]["batch_size"] = 8
    section = claims.schedule_section(paper)
    assert verdicts(section) == [DISAGREES]
    assert "takes 8 pairs." in text(section)


def test_smooth_exp_does_not_fold_but_wrong_statistics_give_one_half(values):
    smooth, rough = folding.FieldKind(8, 6).label, folding.FieldKind(3, 8).label
    for kind in (smooth, rough):
        assert values[kind, folding.RIGHT] == 0
        for statistic in folding.SIGNS:
            assert 0.4 < values[kind, statistic] < 0.55
    assert 0.001 < values[folding.FieldKind(2, 7, integrated=False).label, folding.RIGHT] < 0.1
    assert 0.45 < values[folding.FieldKind(0, 7, integrated=False).label, folding.RIGHT] < 0.5


def test_statistics_agree_with_numpy():
    kind, n = folding.FieldKind(2, 5, integrated=False), 20
    field = folding.random_displacement(kind, 3, n)
    gradient = np.stack([np.stack(np.gradient(component), -1) for component in field[0].numpy()], -2)
    identity = np.eye(3)
    expected = {
        "det(I + Du) ≤ 0": np.linalg.det(identity + gradient) <= 0,
        "det(Du) ≤ 0": np.linalg.det(gradient) <= 0,
        "det(cI + Du) ≤ 0": np.linalg.det(identity * 2 / (n - 1) + gradient) <= 0,
        "det(I + Du) ≤ 1": np.linalg.det(identity + gradient) <= 1,
        "det(I + 2Du) ≤ 0": np.linalg.det(identity + 2 * gradient) <= 0,
    }
    assert list(expected) == list(folding.STATISTICS)
    for name, (counted, _) in folding.STATISTICS.items():
        np.testing.assert_array_equal(counted(field)[0].numpy(), expected[name], err_msg=name)
    assert folding.measure([3], [kind], n)["mean"].tolist() == [mask.mean() for mask in expected.values()]


def test_random_fields_are_what_their_kind_says():
    free = folding.random_displacement(folding.FieldKind(3, 7, integrated=False), 1, 24)
    assert free.shape == (1, 3, 24, 24, 24)
    assert free.abs().max() == pytest.approx(7)
    integrated = folding.random_displacement(folding.FieldKind(3, 7), 1, 24)
    assert torch.equal(integrated, exp(free))
    posed = folding.random_displacement(folding.FieldKind(3, 7, posed=True), 1, 24)
    assert (posed - integrated).abs().max() > 1
    assert not torch.equal(free, folding.random_displacement(folding.FieldKind(3, 7, integrated=False), 2, 24))


def test_printed_row_leaves_syn_out(paper):
    row = folding.printed_row(paper)
    assert (row.low, row.high, row.sd) == (0.481, 0.503, 0.042)
    assert (row.lowest, row.highest) == pytest.approx((0.443, 0.544))
    assert row.like(0.5, 0.01)
    assert not row.like(0.5, 0.05)
    assert not row.like(0.4, 0.01)


def test_the_summary_counts_what_the_sections_found(paper, small_fields):
    report = audit(paper, 0)
    found = [finding["verdict"] for finding in report.findings()]
    assert found.count(DISAGREES) == 5
    assert found.count(UNEXPLAINED) == 3
    page = report.to_markdown()
    assert "Of 11 checks 3 are in order, 5 disagree and 3 need explanation." in " ".join(page.split())
    assert all(len(line) <= 110 for line in page.splitlines() if not line.startswith(("|", "- ")))
    assert page == audit(paper, 0).to_markdown()
    assert report.sections[-1].blocks[2] != audit(paper, 1).sections[-1].blocks[2]  # the table of fractions


def test_a_consistent_paper_is_said_to_be_consistent(consistent, small_fields):
    report = audit(consistent, 0)
    assert {finding["verdict"] for finding in report.findings()} == {IN_ORDER}
    page = " ".join(report.to_markdown().split())
    assert "Of 11 checks 11 are in order, 0 disagree and 0 need explanation." in page
    assert "none of the 10 printed values lie outside their range" in page
    assert "all rows agree with the root mean square of the two SDs (Cohen's d)" in page
    for word in ("mixed", "One result used twice", "exchanged", "a row that was computed", "opposite sign:"):
        assert word not in page
