"""Formation energies from crystals: an ensemble of graph networks."""
