"""Mechanics: elastic tensors, and what follows from them."""
