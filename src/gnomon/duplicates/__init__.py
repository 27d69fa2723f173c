"""Duplicates: fingerprints that a way of writing cannot change, and groups of the same crystal."""

from gnomon.duplicates.fingerprint import Fingerprints, fingerprints
from gnomon.duplicates.groups import find_known, group_duplicates

__all__ = ["Fingerprints", "find_known", "fingerprints", "group_duplicates"]
