"""What developers run: the service in a terminal, an embedded PostgreSQL, stored documents."""
