"""What the application needs from the world: each port a protocol that an adapter fulfils, by subject."""
