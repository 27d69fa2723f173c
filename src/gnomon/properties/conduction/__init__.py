"""Ions that move: diffusion and conduction, from dynamics and from bond valences."""
