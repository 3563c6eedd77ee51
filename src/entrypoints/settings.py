"""The settings of this service: the kernel's, and its own."""

from entrypoints.kernel.settings import KernelSettings


class Settings(KernelSettings):
    """A setting is a field with a default and, below it, a sentence that says its unit and what it is for."""
