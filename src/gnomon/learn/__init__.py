"""Training of anything: split, checkpoints, cards, optimiser."""

from gnomon.run.memory import keep_freed

keep_freed()  # before JAX starts its threads; all that compiles comes through here
