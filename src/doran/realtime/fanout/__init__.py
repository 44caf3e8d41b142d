"""A frame to every screen of a person, wherever it is connected."""
