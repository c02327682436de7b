"""The pages of the reference are made from the code: they lack nothing, and those that are committed are not stale."""

import re

import pytest
import yaml

from docs.command_line import commands, shown
from docs.config_keys import as_markdown
from docs.generate import DOCS, PAGES
from smgicnet.cli import RUN
from tests.support import ROOT

SCHEMAS = ROOT / "config/schemas"


@pytest.fixture(scope="module")
def pages():
    return {name: make() for name, make in PAGES.items()}


def keys_of(part):
    """The names of all keys that a schema's file defines, at any depth, as they stand there."""
    found = set(part.get("properties", {}))
    below = [*part.get("properties", {}).values(), part.get("items"), part.get("additionalProperties")]
    return found.union(*(keys_of(one) for one in below if isinstance(one, dict)))


def rows(page):
    """The first cells of a page's tables, without code marks."""
    return re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_what_is_committed_is_what_the_code_gives(pages, name):
    assert (DOCS / name).read_text(encoding="utf-8") == pages[name], "run `make reference`"


def test_every_key_of_every_schema_has_a_row(pages):
    last = {row.replace("[]", "").split(".")[-1] for row in rows(pages["reference/config.md"])}
    sections = set(re.findall(r"^## (\w+)", pages["reference/config.md"], re.MULTILINE))
    files = sorted(SCHEMAS.rglob("*.schema.yaml"))
    assert len(files) > 20
    for file in files:
        missing = keys_of(yaml.safe_load(file.read_text())) - last
        assert {key for key in missing if key.capitalize() not in {one.split()[0] for one in sections}} == set(), file


def test_every_method_and_every_source_has_a_section(pages):
    titles = set(re.findall(r"^### (.+)$", pages["reference/config.md"], re.MULTILINE))
    for folder, key in (("methods", "type"), ("sources", "kind")):
        assert {f"{key}: {file.name.split('.')[0]}" for file in (SCHEMAS / folder).iterdir()} <= titles


def test_every_key_says_what_it_means(pages):
    found = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", pages["reference/config.md"], re.MULTILINE)
    assert len(found) == len(rows(pages["reference/config.md"])) > 300
    assert [key for key, meaning in found if not re.match(r"(?!(Of|What|That)\b)\S", meaning)] == []


@pytest.mark.parametrize(
    "row",
    [
        "| `grid.spacing` | number, 0.2 to 16 | `4.0` | Isotropic voxel size in mm. |",
        "| `seeds` | list of 1 or more: whole number, at least 0 | `[1]` | Each learned method is trained ",
        "| `figure_pairs` | list of 1 or more: one of `best`, `median`, `worst` | `[median, worst, best]` | ",
        "| `variants.NAME.label` | text, at most 60 characters | required | The name in tables and figures",
        "| `training.decay_after` | whole number, at least 1, or `null` | `60000` | ",
    ],
)
def test_rows_say_what_the_schemas_say(pages, row):
    assert any(line.startswith(row) for line in pages["reference/config.md"].splitlines())


def test_every_command_and_every_option_has_a_row(pages):
    page = pages["reference/command-line.md"]
    sections = dict(re.findall(r"^## smgicnet (\S+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sections.keys() == RUN.keys()
    for name, (said, parser) in commands().items():
        assert f"[`smgicnet {name}`](#smgicnet-{name}) | {said[:20]}" in page
        for action in shown(parser):
            row = ", ".join(f"`{one}`" for one in action.option_strings) or f"| `{action.metavar or ''}"
            assert row in sections[name]
            assert action.help, f"{name}: {action.dest} says nothing"
            assert (action.help % vars(action))[:25] in sections[name]


def test_every_option_says_whole_sentences():
    for name, (_, parser) in commands().items():
        for said in (parser.description, *(action.help for action in shown(parser))):
            sentences = re.split(r"(?<=\.) (?=[A-Z])", said)
            wrong = [one for one in sentences if not re.match(r"(?!(Of|What|That)\b)[A-Z].*[.]$", one)]
            assert wrong == [], name


def test_usage_names_what_is_required(pages):
    assert (
        "smgicnet register (--fixed F.nii.gz | --to T) --moving M.nii.gz --out DIR [OPTIONS]\n"
        in (pages["reference/command-line.md"])
    )
    assert (
        "smgicnet score --fixed-labels A.nii.gz --moving-labels B.nii.gz [OPTIONS]\n"
        in pages["reference/command-line.md"]
    )


def test_text_of_the_code_means_nothing_in_markdown_but_pages_are_links():
    assert as_markdown("two * stars, a_b _c_ and <x> (docs/bids.md)") == (
        r"two \* stars, a_b \_c\_ and \<x> ([docs/bids.md](../bids.md))"
    )
    assert as_markdown("`a * b` stays") == "`a * b` stays"
