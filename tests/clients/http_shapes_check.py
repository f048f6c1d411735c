"""Requests that two servers would read in two ways, and what is no request at all. Ends in "all checks
passed", or fails."""
import os
import re
import socket

from client_checks import read_all

PORT = int(os.environ["OPENAI_PORT"])


def ask(request):
    """All that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=60) as connection:
        connection.sendall(request)
        return read_all(connection)


LINE = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
for request in (
    LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH + b"\r\n",
    LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
    LINE + b"Content-Length: 2, 3\r\n\r\n{}",
    LINE + b"Content-Length: -1\r\n\r\n{}",
    LINE + b"Content-Length: +2\r\n\r\n{}",
    LINE + b"Content-Length: 0x2\r\n\r\n{}",
    LINE + b"Content-Length : 2\r\n\r\n{}",
    LINE + b"Content-Length\r\n\r\n{}",
    LINE + b"Content-Length: 18446744073709551617\r\n\r\n{}",
    LINE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HEALTH + b"\r\n",
    LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    LINE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    LINE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    LINE + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    LINE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
    HEALTH.replace(b"\r", b"") + b"\n",
    HEALTH.replace(b" ", b"  ", 1) + b"\r\n",
    HEALTH + b"X\0: y\r\n\r\n",
    HEALTH + b"X: " + b"y" * 40000 + b"\r\n\r\n",
    b"nothing of the kind\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
):
    reply = ask(request)
    assert reply.startswith(b"HTTP/1.1 400 "), (request[:160], reply)
    # One answer, and nothing of what follows is taken for another request.
    assert reply.count(b"HTTP/1.1") == 1, (request[:160], reply)
reply = ask(LINE + b"Content-Length: 99999999\r\n\r\n{}")
assert reply.startswith(b"HTTP/1.1 413 ") and reply.count(b"HTTP/1.1") == 1, reply

# One behind the other on one connection; a body in chunks, and what stands behind it.
two = ask(HEALTH + b"\r\n" + HEALTH + b"Connection: close\r\n\r\n")
assert two.count(b"HTTP/1.1 200") == 2, two
body = b'{"model": "demo", "prompt": "x", "max_tokens": 1}'
key = b"Authorization: Bearer " + os.environ["OPENAI_KEY_ada"].encode() + b"\r\n"
chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
two = ask(LINE + key + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + HEALTH + b"Connection: close\r\n\r\n")
assert re.findall(rb"HTTP/1.1 (\d+)", two) == [b"200", b"200"], two

# Nested deeper than any stack would bear.
deep = b'{"model": "demo", "prompt": "x", "stop": ' + b"[" * 400000 + b"]" * 400000 + b"}"
reply = ask(LINE + key + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(deep) + deep)
assert reply.startswith(b"HTTP/1.1 400 ") and b"nested too deeply" in reply, reply
print("all checks passed")
