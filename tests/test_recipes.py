"""The recipes of docs/adding-a-*.md do what they say, followed word for word in a checkout of one's own."""

import pytest

from tests.support import ROOT
from tests.support.recipes import FETCHING, PAGES, commands, copy_checkout, follow, run


@pytest.fixture(params=PAGES)
def recipe(request, tmp_path):
    """A page, a checkout in which its files have been written, and their paths."""
    copy_checkout(tmp_path)
    return request.param, tmp_path, list(follow(request.param, tmp_path))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_how_many_lines_it_takes(page, tmp_path):
    copy_checkout(tmp_path)
    written = follow(page, tmp_path)
    text = (ROOT / "docs" / page).read_text()
    program = {name: lines for name, lines in written.items() if name == FETCHING}
    for ways in (program, {name: lines for name, lines in written.items() if name != FETCHING}):
        files = f"{len(ways)} file{'s' if len(ways) > 1 else ''}"
        assert not ways or f"{sum(ways.values())} lines in {files}" in " ".join(text.split())


def test_the_tests_of_a_recipe_pass_and_its_code_is_clean(recipe):
    page, checkout, written = recipe
    tests = [command for command in commands(page) if "pytest " in command]
    assert tests
    for command in tests:
        assert "passed" in run(command, checkout)
    modules = " ".join(path for path in written if path.endswith(".py"))
    for check in ("ruff check", "ruff format --check"):
        run(f"{check} {modules}", checkout)


@pytest.mark.long
def test_the_run_of_a_recipe_ends_in_what_it_adds(recipe):
    page, checkout, _ = recipe
    runs = [command for command in commands(page) if "pytest " not in command]
    said = [run(command, checkout) for command in runs]
    table = checkout / "results/miniature/tables/table1.md"
    if page == "adding-a-method.md":
        assert "Centroid" in table.read_text()
        assert "ANTs, affine" in (checkout / "results/embedded/tables/table1.md").read_text()
    elif page == "adding-a-metric.md":
        assert said[-1].splitlines()[-1].startswith("| Volume similarity")
    elif page == "adding-a-source.md":
        assert "3 test subjects" in (checkout / "results/task/tables/table1.md").read_text()
    else:
        assert (checkout / "results/miniature/figures/share.png").stat().st_size > 5000
