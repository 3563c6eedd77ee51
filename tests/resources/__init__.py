"""The facts of this service's resources, for all suites: kernel/world/resources.py says which."""
