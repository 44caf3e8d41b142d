"""People: who they are, how they prove it, whom they do not want to hear."""
