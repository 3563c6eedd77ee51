"""What upstream gives every service: aggregates, errors, texts, and the tenants with their members."""
