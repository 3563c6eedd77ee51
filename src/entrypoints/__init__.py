"""The ways in: HTTP, the command line, the worker; and what they share: settings, logs, the container."""
