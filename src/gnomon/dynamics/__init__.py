"""Crystals that move: relaxation and molecular dynamics."""
