"""What an operator learns of a running service beside its answers: errors, slow statements, traces."""
