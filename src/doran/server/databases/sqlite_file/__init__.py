"""Django's SQLite backend, which acknowledges no commit into a lost file."""
