"""What delivers the package: workflows of GitHub, the changelog, and the versions of tools."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import smgicnet
from tests.support import ROOT
from tests.support.markdown import blocks

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NOTES = ROOT / ".github/release_notes.py"
TARGET = re.compile(r"^([a-z][\w-]*):", re.M)  # of a Makefile


JOBS = [
    pytest.param(path, job, id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text())["jobs"].items()
]


def release_notes(changelog, tag, folder):
    """Run the script in a copy of what it reads."""
    for name, text in {
        "smgicnet/__init__.py": '__version__ = "1.2.0"\n', "CHANGELOG.md": changelog,
        ".github/release_notes.py": NOTES.read_text(),
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, folder / ".github/release_notes.py", tag]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_a_job_has_a_limit_few_rights_and_versions_of_its_actions(path, job):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    assert 0 < job["timeout-minutes"] <= 240
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"\./\.github/actions/\w+|[\w-]+/[\w-]+@(v\d+|release/v\d+)", one) for one in used), used
    assert not any("${{" in step.get("run", "") for step in job["steps"]), "an expression becomes code of the shell"


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_what_a_job_makes_is_a_target(path, job):
    called = set().union(*(re.findall(r"\bmake ([a-z][\w-]*)", step.get("run", "")) for step in job["steps"]))
    called |= {*job.get("strategy", {}).get("matrix", {}).get("target", [])}
    assert called - {*TARGET.findall((ROOT / "Makefile").read_text())} == set()


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_makes_is_a_target(page):
    text = page.read_text(encoding="utf-8")
    code = [*re.findall(r"`([^`\n]+)`", text), *(block.text for block in blocks(text) if block.language == "sh")]
    called = {name for one in code for name in re.findall(r"^\s*make ([a-z][\w-]*)", one, re.M)}
    assert called - {*TARGET.findall((ROOT / "Makefile").read_text())} == set()


def section(name):
    """The lines of a section of apptainer.def, without what is empty."""
    text = (ROOT / "apptainer.def").read_text()
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", text, re.M | re.S)
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_both_images_have_the_same_files_from_the_same_installation():
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert section("files") == [f"{name} /opt/smgicnet/" for name in allowed]
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    docker = (ROOT / "Dockerfile").read_text()
    header = (ROOT / "apptainer.def").read_text()
    assert re.search(r"^FROM (.+)$", docker, re.M)[1] == re.search(r"^From: (.+)$", header, re.M)[1]
    assert re.search(r"^RUN (\S+)", docker, re.M)[1] == section("post")[0].split()[0]
    assert f'["{section("runscript")[0].split()[1]}"]' in re.search(r"^ENTRYPOINT (.+)$", docker, re.M)[1]
    assert re.search(r"^ENV (.+)$", docker, re.M)[1] == section("environment")[0].removeprefix("export ")


def test_the_image_has_what_its_installation_and_its_check_name():
    named = set()
    for script in ("install", "check", "start"):
        text = (ROOT / f"containers/{script}.sh").read_text()
        named |= {*re.findall(r"/opt/smgicnet/([\w./-]*\w)", text), *re.findall(r"[\w-]+\.lock", text)}
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert named >= {"Snakefile", "requirements.lock"}
    assert {name.partition("/")[0] for name in named} - {"written", *allowed} == set()


def test_the_tests_run_on_every_version_that_the_package_names():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    versions = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    oldest = re.search(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert versions == [oldest, "3.12", "3.13"]


def test_hooks_run_programs_of_the_lock_file():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = {found[1] for hook in hooks if (found := re.match(r"\.venv/bin/(\w+)", hook["entry"]))}
    assert programs == {"ruff", "snakefmt", "mypy"}
    assert programs <= {line.partition("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}


def test_the_changelog_has_this_version():
    assert f"\n## [{smgicnet.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_a_releases_text_is_its_section_of_the_changelog(tmp_path):
    text = "- New.\n\n### Fixed\n\n- Old.\n"
    changelog = f"# Changelog\n\n## [1.2.0] - 2026-01-31\n\n{text}\n## [1.1.0] - 2025-01-31\n\n- Older.\n"
    done = release_notes(changelog, "v1.2.0", tmp_path)
    assert (done.returncode, done.stdout) == (0, text)


@pytest.mark.parametrize(
    ("changelog", "tag", "said"),
    [
        ("## [1.2.0] - 2026-01-31\n\n- New.\n", "v1.3.0", "package's version, 1.2.0"),
        ("## [1.2.0] - unreleased\n\n- New.\n", "v1.2.0", "no section"),
        ("## [1.2.0] - 2026-01-31\n\n## [1.1.0] - 2025-01-31\n\n- Older.\n", "v1.2.0", "no section"),
        ("## [1.1.0] - 2025-01-31\n\n- Older.\n", "v1.2.0", "no section"),
    ],
)
def test_no_release_without_its_section_or_with_another_version(changelog, tag, said, tmp_path):
    done = release_notes(changelog, tag, tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_release_has_the_addresses_of_its_repository(tmp_path):
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["build"]["steps"]
    before_wheel = steps[: [step.get("run") for step in steps].index("make wheel")]
    (command,) = (step["run"] for step in before_wheel if "pyproject.toml" in step.get("run", ""))
    variables = {**os.environ, "URL": "https://example.org/own/er", "GITHUB_REF_NAME": "v1.2.0"}
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=variables, check=True)
    assert tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"] == {
        "Source": "https://example.org/own/er",
        "Issues": "https://example.org/own/er/issues",
        "Changelog": "https://example.org/own/er/blob/v1.2.0/CHANGELOG.md",
    }
