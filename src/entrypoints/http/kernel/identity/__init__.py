"""OAuth, cookies, log-in through providers, and what is published about them."""
