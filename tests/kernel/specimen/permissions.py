"""What may be done to the specimen, and which role may do it."""

from application.kernel.permissions import ADMINS, MEMBERS, Permission

WRITE_WORK_ORDERS = Permission("work_orders:write", MEMBERS)
WRITE_NOTES = Permission("notes:write", MEMBERS)
MODERATE_NOTES = Permission("notes:moderate", ADMINS)
