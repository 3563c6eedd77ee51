"""From the pool of connections to a transaction."""
