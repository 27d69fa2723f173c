"""Heat: what vibrations hold and carry."""
