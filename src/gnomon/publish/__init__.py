"""A campaign as others can take it: what it used, whom to cite, and a folder for a repository."""

from gnomon.publish.used import Use, to_cite, used
from gnomon.publish.works import Work, works

__all__ = ["Use", "Work", "to_cite", "used", "works"]
