"""Crystals as numbers that networks take."""
