"""Random structure search: symmetric random cells."""
