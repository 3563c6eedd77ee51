"""Where requests are counted."""
