"""What several test files share: small methods, images, files and cohorts. Fixtures are in ``conftest.py``."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
