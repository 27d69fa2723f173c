"""What a crystal is, whatever it is called: symmetry, neighbours, prototypes, matching."""
