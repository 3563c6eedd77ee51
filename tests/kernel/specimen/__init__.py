"""What the kernel is proved on: work orders and notes, which nothing outside of tests/kernel knows."""
