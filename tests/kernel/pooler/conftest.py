"""What a pooler in transaction mode takes: `make test-pooler`."""

from kernel.world.database import *  # noqa: F403 (fixtures, which pytest finds here)
