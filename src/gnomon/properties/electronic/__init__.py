"""Band gaps and densities of states by density functional theory."""
