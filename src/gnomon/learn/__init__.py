"""Training of anything: split, checkpoints, cards, optimiser."""
