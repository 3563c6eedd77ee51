"""What the tests over HTTP share."""

from kernel.world.http import *  # noqa: F403 (fixtures, which pytest finds here)
