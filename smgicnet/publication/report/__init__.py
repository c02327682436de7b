"""The page that a person opens first: one HTML file with headline, tables, figures, viewer, audit and provenance."""

from smgicnet.publication.report.changed_view import changed_view
from smgicnet.publication.report.page import Figure, Page, write_page
from smgicnet.publication.report.volumes import Run, Viewer

__all__ = ["Figure", "Page", "Run", "Viewer", "changed_view", "write_page"]
