"""Markdown as a browser of the repository reads it: links, the anchors of headings, blocks of code."""

import re
from collections import Counter
from dataclasses import dataclass

FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *(\S*)[^\n]*\n(.*?)^ *\2 *$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- tested -->\s*\Z")
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]: *(\S+)|(?:href|src)=\"([^\"]+)\"", re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, the line on which it begins, and whether it is marked as tested."""

    language: str
    text: str
    line: int
    is_tested: bool


def blocks(text):
    """Return the fenced blocks of a page. Those behind a line ``<!-- tested -->`` are run by a test."""
    return [
        Block(found[3], found[4], text.count("\n", 0, found.start()) + 1, bool(MARK.search(text[: found.start()])))
        for found in FENCE.finditer(text)
    ]


def prose(text):
    """Return a page without its blocks of code and without comments, on lines of the same numbers."""
    return re.sub(r"<!--.*?-->", _lines_alone, FENCE.sub(_lines_alone, text), flags=re.DOTALL)


def links(text):
    """Return the line and the target of each link and picture of a page."""
    plain = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda code: " " * len(code[0]), prose(text))
    return [
        (plain.count("\n", 0, found.start()) + 1, next(filter(None, found.groups()))) for found in LINK.finditer(plain)
    ]


def anchors(text):
    """Return what a link into a page may name: its headings, as GitHub makes anchors of them, and explicit ones."""
    plain, seen, found = prose(text), Counter(), set(re.findall(r"<\w+[^>]*\b(?:id|name)=\"([^\"]+)\"", text))
    for title in re.findall(r"^ {0,3}#{1,6} +(.+?)(?: +#+)? *$", plain, re.MULTILINE):
        said = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", said.replace("`", "").lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def _lines_alone(found):
    return "\n" * found[0].count("\n")
