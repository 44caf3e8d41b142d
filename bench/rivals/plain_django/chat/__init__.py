"""The chat application of the plain Django design."""
