"""Doran beside the plain Django design on the same core in the same run: CPU, connects, memory, pages."""
