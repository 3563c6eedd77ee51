"""How traces leave."""
