"""Doran (도란도란): self-hosted one-to-one chat."""

__version__ = "0.1.0"
