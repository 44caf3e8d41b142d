"""The gateway as a library: it knows sockets, frames and people, not messages, and not Django."""
