"""Crystals as real-space grids, and an autoencoder that makes few numbers of them."""
