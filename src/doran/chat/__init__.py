"""Conversations: two people, their messages, and how far each has got."""
