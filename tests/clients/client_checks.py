"""What the checks in Python have in common."""


class refused:
    """A context whose body must raise an error of `kind`, which is its .error then."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            raise AssertionError("no error")
        self.error = error
        return isinstance(error, self.kind)


def read_all(connection):
    """All that the other side sends until it closes the connection."""
    reply = b""
    try:
        while chunk := connection.recv(4096):
            reply += chunk
    except ConnectionError:
        pass
    return reply
