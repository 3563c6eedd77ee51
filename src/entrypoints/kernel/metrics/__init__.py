"""Metrics for Prometheus: what a process counts, how it is shown, and how several processes add up."""
