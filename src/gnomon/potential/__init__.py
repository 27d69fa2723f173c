"""The interatomic potential: network, weights, prediction, training."""
