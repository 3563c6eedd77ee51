"""Notifications: read and unread."""

from dataclasses import replace
from datetime import timedelta

from kernel.world.builders import NOW
from resources.notifications import a_notification

LATER = NOW + timedelta(hours=1)


def test_a_notification_remembers_when_it_was_read() -> None:
    notification = a_notification()
    assert notification.mark(read=True, at=LATER) == replace(notification, read_at=LATER)


def test_the_instant_of_the_first_reading_stays() -> None:
    notification = a_notification(read_at=NOW)
    assert notification.mark(read=True, at=LATER) is notification


def test_a_notification_can_be_unread_again() -> None:
    notification = a_notification(read_at=NOW)
    assert notification.mark(read=False, at=LATER) == replace(notification, read_at=None)


def test_what_is_unread_stays_unread() -> None:
    notification = a_notification()
    assert notification.mark(read=False, at=LATER) == notification
