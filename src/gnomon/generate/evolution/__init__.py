"""Evolution: candidates from the best crystals so far, by heredity and mutation."""
