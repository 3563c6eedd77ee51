"""How settings are read, and how all that is wrong with them is told at once."""
