"""What a member of a view or a body looks like, said where the member is declared."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """`title: Annotated[str, Example("Weave algebraic patterns")]`, as the API's description shows it.

    The value is as JSON has it: a time as its text. A member without one is shown with an example made of its
    type and its bounds.
    """

    value: object
