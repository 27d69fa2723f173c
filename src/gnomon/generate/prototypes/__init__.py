"""Known structures, decorated with other elements."""
