"""What a request costs, measured beside a handler written by hand: `make bench`."""
