"""The page that a person opens first: one HTML file with headline, tables, figures, viewer, audit and provenance."""

from smgicnet.publication.report.page import Figure, Run, write_page

__all__ = ["Figure", "Run", "write_page"]
