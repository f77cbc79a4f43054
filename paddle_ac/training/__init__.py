"""A run: the loop, what it writes down, and how it is taken up again."""
