"""What may be done to the specimen, and which role may do it."""

from application.kernel.permissions import ADMINS, MEMBERS, Permission

WRITE_SPECIMEN_ORDERS = Permission("specimen_orders:write", MEMBERS)
WRITE_SPECIMEN_NOTES = Permission("specimen_notes:write", MEMBERS)
MODERATE_SPECIMEN_NOTES = Permission("specimen_notes:moderate", ADMINS)
