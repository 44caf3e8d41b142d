"""Translation: engines behind one protocol, asked in the order of the settings, and a model after them.

What must not be touched is protected on the way (`protecting`), what was translated once is kept (`keeping`), and
whoever cannot do it says so: a translation that lost something is a failure, never a guess.
"""
