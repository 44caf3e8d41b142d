"""Who is here, told to those who asked and may know."""
