"""The facts of what upstream adds to the kernel, for all suites: kernel/world/resources.py says which."""
