"""What chemistry says: oxidation states, ground states, reactions, gases, sanity."""
