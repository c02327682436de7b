"""The changelog's section of a release, for its text: ``python .github/release_notes.py v0.2.0``.

It ends with an error if the tag is not the package's version, or if the changelog has no dated section of it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sections(changelog: str) -> dict[str, tuple[str, str]]:
    """Return the date, or another word in its place, and the text of each version."""
    parts = re.split(r"^## \[(.+?)\] - (\S+)\n", changelog, flags=re.M)
    links = r"^\[[^\]]+\]: \S+$"  # what the headings link to stands at the end of the file
    texts = (re.sub(links, "", text, flags=re.M).strip() for text in parts[3::3])
    return {version: (date, text) for version, date, text in zip(parts[1::3], parts[2::3], texts, strict=True)}


def notes(tag: str, version: str, changelog: str) -> str:
    """Return the text of a release, or end the process with what is wrong."""
    if tag != f"v{version}":
        sys.exit(f"The tag {tag} is not v and the package's version, {version}: mend smgicnet/__init__.py or the tag")
    date, text = sections(changelog).get(version, ("", ""))
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date) or not text:
        sys.exit(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD' with text")
    return text


def main() -> None:
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "smgicnet/__init__.py").read_text(), re.M)
    assert version
    print(notes(sys.argv[1], version[1], (ROOT / "CHANGELOG.md").read_text()))


if __name__ == "__main__":
    main()
