"""Formation energies from formulas alone: an ensemble of Roost networks."""
