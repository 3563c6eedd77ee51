"""What the kernel is proved on: specimen orders and their notes, which nothing outside of tests/kernel knows.

They join the service's tables, collections, routes and problems, where every name is there once. Theirs begin
with `specimen`, which no fork's do.
"""
