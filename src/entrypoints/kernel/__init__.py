"""What every way in shares: settings, the container, logs, the worker and the command line."""
