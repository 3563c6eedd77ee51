"""How a table, its repository and its lists are declared, whatever they hold."""
