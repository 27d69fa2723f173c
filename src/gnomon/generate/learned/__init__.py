"""Crystals written by a network that was trained on known ones."""
