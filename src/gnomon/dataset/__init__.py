"""Training sets for potentials: crystals perturbed, substituted, partly relaxed, labelled."""
