"""What people can ask: for each resource its views and the protocol that answers them.

Views are slotted dataclasses that nobody changes, but not frozen ones: freezing makes the construction of
a row six times as expensive, and a page has a hundred of them.
"""
