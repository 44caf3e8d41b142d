"""Text as people type it: what is accepted, and how it is counted."""
