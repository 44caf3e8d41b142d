"""The two sides of the comparison: each can be started, filled, asked who sits where, measured and stopped."""
