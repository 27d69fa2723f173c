"""A transformer over space group, Wyckoff orbits and elements that writes crystals."""
