"""Passwords: hashing them slowly and comparing them."""
