"""Ionic substitution: likely ions in place of a parent's."""
