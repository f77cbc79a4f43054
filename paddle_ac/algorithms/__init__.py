"""The members of the family; each knows how to learn and nothing of files, logs or command lines."""
