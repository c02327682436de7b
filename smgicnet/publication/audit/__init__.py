"""An audit of the numbers that the paper prints: against each other and, for one row, against fields computed here.

Every number and verdict is computed from ``config/paper.yaml``, every sentence chosen by what was computed: if the
printed numbers agreed, the audit would say so. It needs no dataset and no trained network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from smgicnet.publication.audit import claims, columns, effect_size
from smgicnet.publication.audit.text import DISAGREES, IN_ORDER, UNEXPLAINED, Section, paragraph, table, verb


@dataclass(frozen=True)
class Audit:
    """Its chapters, and the seed of the fields."""

    sections: tuple[Section, ...]
    seed: int

    def findings(self) -> list[dict]:
        """Return one entry a check: section (its number), check, finding, verdict."""
        return [
            {"section": number, **asdict(finding)}
            for number, section in enumerate(self.sections, start=1)
            for finding in section.findings
        ]

    def to_markdown(self) -> str:
        """Return the report in Markdown; the same bytes for the same numbers and seed."""
        blocks = ["# Audit of the paper's printed numbers", *self._head()]
        for number, section in enumerate(self.sections, start=1):
            blocks += [f"## {number}. {section.title}", *section.blocks]
        return "\n\n".join(filter(None, blocks)) + "\n"

    def _head(self) -> list[str]:
        findings = self.findings()
        numbers = {
            verdict: sum(f["verdict"] == verdict for f in findings) for verdict in (IN_ORDER, DISAGREES, UNEXPLAINED)
        }
        lines = [[str(f["section"]), f["check"], f["finding"], f["verdict"]] for f in findings]
        return [
            paragraph(
                "The numbers that the SM-GICNet paper prints, as `config/paper.yaml` holds them, are compared with",
                "each other and, for the Jacobian row of Table 1, with fields computed on the spot. No result of this",
                f"project, no dataset and no trained network enters. Seed of the fields: {self.seed}.",
                "`snakemake --cores all audit` writes this file.",
            ),
            paragraph(
                f"Of {len(findings)} checks {numbers[IN_ORDER]} {verb(numbers[IN_ORDER], 'is', 'are')} {IN_ORDER},",
                f"{numbers[DISAGREES]} {verb(numbers[DISAGREES], 'disagrees', 'disagree')} and {numbers[UNEXPLAINED]}",
                f"{verb(numbers[UNEXPLAINED], 'needs', 'need')} explanation.",
                f"*{DISAGREES.capitalize()}*: printed numbers contradict each other, a statement of the text or their"
                " definition. *Needs explanation*: a regularity that is unlikely in independent measurements and may"
                " have an innocent cause. Neither tells which number is wrong or why, or how well the method registers."
                " Where a chance is given, it is that of one search by itself; several were made.",
            ),
            table(["Section", "Check", "Finding", "Verdict"], lines, "rlll"),
        ]


def audit(paper: Mapping, seed: int) -> Audit:
    """Audit what ``paper``, the content of ``config/paper.yaml``, prints; ``seed`` is that of the random fields."""
    from smgicnet.publication.audit import folding  # torch, of this section alone

    return Audit(
        (
            effect_size.section(paper),
            claims.counts_section(paper),
            columns.equal_cells_section(paper),
            columns.times_section(paper),
            columns.crossed_section(paper),
            claims.claims_section(paper),
            claims.schedule_section(paper),
            folding.section(paper, seed),
        ),
        seed,
    )
