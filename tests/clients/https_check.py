"""OpenAI's API over TLS, with Python's own HTTP client. Ends in "all checks passed", or fails."""
import http.client
import json
import os
import socket
import ssl

from client_checks import read_all, refused

PORT = int(os.environ["OPENAI_PORT"])
HEADERS = {"Authorization": "Bearer " + os.environ["OPENAI_KEY_ada"], "Content-Type": "application/json"}
QUESTION = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Who is the mayor of Shistel?"}],
    "max_tokens": 8,
    "temperature": 0,
    "promptdb": {"schema": "demo", "use": ["shistel"]},
}

trusted = ssl.create_default_context(cafile=os.environ["TLS_CERT"])
connection = http.client.HTTPSConnection("localhost", PORT, context=trusted, timeout=60)

# Several requests on one connection, one of them a stream.
connection.request("GET", "/healthz")
response = connection.getresponse()
assert (response.status, response.read()) == (200, b"ok\n"), response.status
assert connection.sock.version() in ("TLSv1.2", "TLSv1.3"), connection.sock.version()

connection.request("POST", "/v1/chat/completions", json.dumps(QUESTION), HEADERS)
answer = json.loads(connection.getresponse().read())
assert answer["choices"][0]["message"]["content"] == " Tebri Jozund", answer

connection.request("POST", "/v1/chat/completions", json.dumps({**QUESTION, "stream": True}), HEADERS)
events = connection.getresponse().read().decode().split("\n\n")
assert events[-2:] == ["data: [DONE]", ""], events[-2:]
chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
assert text == " Tebri Jozund", chunks

# A body that comes in many records.
long = {**QUESTION, "messages": [{"role": "user", "content": "town " * 200}], "max_tokens": 1}
body = json.dumps(long).encode()
connection.putrequest("POST", "/v1/chat/completions")
for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
    connection.putheader(name, value)
connection.endheaders()
for begin in range(0, len(body), 100):
    connection.send(body[begin:begin + 100])
response = connection.getresponse()
assert response.status == 200, response.read()
response.read()
connection.close()

# Keys are asked for inside of TLS as well.
connection = http.client.HTTPSConnection("localhost", PORT, context=trusted, timeout=60)
connection.request("GET", "/v1/models")
assert connection.getresponse().status == 401
connection.close()

# A client that trusts others only does not come to ask.
with refused(ssl.SSLCertVerificationError):
    http.client.HTTPSConnection("localhost", PORT, timeout=60).request("GET", "/healthz")

# An old version, plain HTTP and garbage get nothing that could be taken for an answer.
old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
old.set_ciphers("DEFAULT:@SECLEVEL=0")
with refused((ssl.SSLError, ConnectionError)):
    old.wrap_socket(socket.create_connection(("localhost", PORT), timeout=60))
for plain in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00" + b"\xff" * 600):
    with socket.create_connection(("localhost", PORT), timeout=60) as raw:
        raw.sendall(plain)
        reply = read_all(raw)
        assert b"HTTP" not in reply, reply

# And the server is still there.
connection = http.client.HTTPSConnection("localhost", PORT, context=trusted, timeout=60)
connection.request("GET", "/healthz")
assert connection.getresponse().status == 200
print("all checks passed")
