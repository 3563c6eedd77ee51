"""What is allowed: entities, their rules and what happened to them. Standard library only."""
