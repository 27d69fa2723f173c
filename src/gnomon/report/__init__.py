"""Reports: a campaign → one self-contained HTML page, with CSV tables and CIFs."""

from gnomon.report.build import Report, build_report
from gnomon.report.files import write_report
from gnomon.report.page import render_html

__all__ = ["Report", "build_report", "render_html", "write_report"]
