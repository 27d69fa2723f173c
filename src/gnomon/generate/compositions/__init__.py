"""Compositions whose charges can balance."""
