"""How the schema changes: what has been applied, who applies it, and how it is written."""
