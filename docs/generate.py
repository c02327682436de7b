"""Write the pages that are made from the code: ``python -m docs.generate``, or ``make reference``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs import command_line, config_keys

DOCS = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "reference/config.md": config_keys.page,
    "reference/command-line.md": command_line.page,
}


def main() -> None:
    """Write each page that has changed."""
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name}")


if __name__ == "__main__":
    main()
