"""What people can ask about users, workspaces, memberships, invitations and their own log-ins."""
