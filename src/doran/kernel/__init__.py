"""What every service needs, and nothing more."""
