"""What the outside world may do to a port, whichever it is."""


class WorldError(Exception):
    """Something outside of this service failed."""


class Unavailable(WorldError):
    """Something that the service needs does not answer; try again soon."""


class TimedOut(WorldError):
    """Something that the service needs took too long."""


class Contention(WorldError):
    """Two changes stood in each other's way; try again."""
