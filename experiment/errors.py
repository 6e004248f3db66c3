"""The two ways a run ends early on purpose: the user's mistake, and a number that is not finite."""

import contextlib

_LONGEST = 1000  # characters of a line; a text of the user's that is quoted may have any number


class UserError(Exception):
    """A mistake the user can mend. The binary shows it as one line and exits with status 2."""


class NonFiniteError(Exception):
    """A loss or score became NaN or infinite. The binary shows it as one line and exits with status 1."""


@contextlib.contextmanager
def user_errors():
    """Turns a ValueError or OSError of the block into a UserError."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(one_line(error)) from error


def is_out_of_memory(error):
    """Returns whether an error says that the host or a device has too little memory; a config may ask for any size."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED: Out of memory" in str(error)


def one_line(error):
    """Returns the message of an error on one line, with the file of an OSError named."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 + 5 :]}"
