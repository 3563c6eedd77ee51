"""What the tests of the Postgres adapter share."""

from kernel.world.database import *  # noqa: F403 (fixtures, which pytest finds here)
