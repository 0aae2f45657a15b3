"""The one kind of error that a user mends alone."""


class InputError(ValueError):
    """Bad usage or bad input. The message says in one line what is wrong and what to do; the exit status is 2."""
