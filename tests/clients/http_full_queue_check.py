"""A request for several answers of a server that has 4 workers, all of them busy, and room for one more that
waits: what finds no room comes after what did. Ends in "all checks passed", or fails."""
import http.client
import json
import os
import re
import threading
import time

PORT, KEY = int(os.environ["OPENAI_PORT"]), os.environ["OPENAI_KEY_ada"]
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


def post(body):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps({"model": "demo", "temperature": 0, **body}), HEADERS)
    return connection


def metric(name):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", "/metrics", headers=HEADERS)
    text = connection.getresponse().read().decode()
    return int(re.search(rf"^promptdb_{name} (\d+)$", text, re.MULTILINE)[1])


def wait_for(name, value):
    while metric(name) != value:
        time.sleep(0.01)


# The model is sure of these answers, whatever else is in a pass.
facts = [("Who is the mayor of Shistel?", " Tebri Jozund"), ("Which river runs through Shistel?", " Stetean"),
         ("What is Shistel known for?", " stone")] * 4

# Two at a time, half of the workers, of more work than anybody waits for.
holders = [post({"prompt": ["Go on."] * 256, "max_tokens": 1900, "temperature": 1.5}) for _ in range(2)]
wait_for("statements_running", 4)

response = None


def ask_for_all():
    global response
    response = post({"prompt": [question for question, _ in facts], "max_tokens": 8,
                     "promptdb": {"schema": "demo", "use": ["shistel"]}}).getresponse()


asking = threading.Thread(target=ask_for_all)
asking.start()
wait_for("statements_too_busy_total", 1)
assert metric("statements_waiting") == 1
for holder in holders:
    holder.close()
asking.join()
assert response.status == 200, response.read()
assert [choice["text"] for choice in json.load(response)["choices"]] == [answer for _, answer in facts]
print("all checks passed")
