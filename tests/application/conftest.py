"""Use cases are tested on the world in memory."""

from kernel.world.memory import *  # noqa: F403 (fixtures, which pytest finds here)
