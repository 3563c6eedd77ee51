"""The adapter is tested on a real PostgreSQL."""

from kernel.world.database import *  # noqa: F403 (fixtures, which pytest finds here)
