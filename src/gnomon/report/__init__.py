"""Reports: a campaign → one self-contained HTML page, with CSV tables and CIFs."""
