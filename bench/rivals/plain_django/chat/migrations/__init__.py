"""Tables of the plain Django design."""
