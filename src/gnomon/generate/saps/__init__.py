"""Symmetry-aware partial substitution."""
