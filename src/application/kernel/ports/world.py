"""What the outside world may do to a port, whichever it is."""


class WorldError(Exception):
    """Something outside of this service failed."""

    cause = ""
    """What its adapter has written into the log of why: for operators, never for clients."""


class Unavailable(WorldError):
    """Something the service depends on is not available; try again soon."""


class Misconfigured(Unavailable):
    """Something the service depends on is set up in a way that it cannot work with; the message says how."""


class NotNow(Unavailable):
    """It answers, and does not take this one for now; what others ask of it may be done."""


class TimedOut(WorldError):
    """Something the service depends on took too long."""


class Contention(WorldError):
    """The request conflicted with another one; try again."""
