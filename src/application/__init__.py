"""What people can do (commands), what they can ask (queries), and what we need for it (ports)."""
