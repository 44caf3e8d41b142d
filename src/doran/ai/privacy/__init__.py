"""Whose words the AI may see, where they went, and how they are forgotten."""
