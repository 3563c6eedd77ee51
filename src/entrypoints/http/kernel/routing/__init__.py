"""From a request to an endpoint's arguments, and from what it returns or raises to an answer."""
