"""What psycopg 3 does with a server of PromptDB. Ends in "all checks passed", or fails."""
import threading

import psycopg
from psycopg.rows import dict_row

from client_checks import refused

QUESTION = "SELECT GENERATE (max_tokens => %s) FROM demo USE shistel PROMPT %s"
MAYOR = "Who is the mayor of Shistel?"

connection = psycopg.connect("", autocommit=True)
assert connection.info.server_version == 150000, connection.info.server_version
assert connection.info.encoding == "utf-8", connection.info.encoding
assert connection.info.parameter_status("standard_conforming_strings") == "on"

# Parameters go to the server as values: integers in their smallest type, texts with none.
row = connection.execute(QUESTION, (8, MAYOR)).fetchone()
assert row[0] == " Tebri Jozund", row
assert isinstance(row[2], int) and isinstance(row[5], float), row
text = "It's \\ 'quoted'; SHOW MODELS"
tokens = connection.execute("SELECT TOKENS FROM demo PROMPT %s", (text,)).fetchall()
assert "".join(token for _, _, token, _ in tokens).endswith(text), tokens

# In binary, both ways, and as dictionaries.
with connection.cursor(binary=True, row_factory=dict_row) as cursor:
    cursor.execute("SELECT GENERATE (max_tokens => %b) FROM demo USE shistel PROMPT %t", (8, MAYOR))
    answer = cursor.fetchone()
    assert answer["text"] == " Tebri Jozund" and answer["output_tokens"] > 0, answer
    cursor.execute("SELECT module, model FROM pc_modules WHERE schema = %t AND tokens > %b "
                   "ORDER BY module", ("demo", 5))
    rows = cursor.fetchall()
    assert {"module": "shistel", "model": "demo"} in rows, rows[:3]

# The same statement often enough becomes a prepared one.
for number in range(8):
    row = connection.execute(QUESTION, (4, f"{MAYOR} {number}"), prepare=True).fetchone()
    assert row[4] <= 4, row

# Pieces of an answer as they come, in single-row mode.
with connection.cursor() as cursor:
    pieces = list(cursor.stream(QUESTION + " WITH (stream = on)", (8, MAYOR)))
    assert len(pieces) > 1, pieces
    assert "".join(piece[0] for piece in pieces if piece[0]) == " Tebri Jozund", pieces

# Several at a time, answered in order.
with psycopg.connect("", autocommit=True) as other:
    with other.pipeline():
        cursors = [other.execute(QUESTION, (8, MAYOR)) for _ in range(3)]
    assert [cursor.fetchone()[0] for cursor in cursors] == [" Tebri Jozund"] * 3

# Errors by class, with their place and hint.
with refused(psycopg.errors.UndefinedObject) as unknown:
    connection.execute("SELECT GENERATE FROM dmo PROMPT %s", ("x",))
assert unknown.error.diag.statement_position == "22", unknown.error.diag.statement_position
assert "demo" in unknown.error.diag.message_hint, unknown.error.diag.message_hint
with refused(psycopg.errors.InvalidParameterValue):
    connection.execute(QUESTION, (None, MAYOR))

# Transactions, which a failed statement spoils.
with psycopg.connect("") as other:
    other.execute("SHOW MODELS")
    assert other.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    with refused(psycopg.Error):
        other.execute("SELECT nothing")
    with refused(psycopg.errors.InFailedSqlTransaction):
        other.execute("SHOW MODELS")
    other.rollback()

# A cancel request stops a generation.
timer = threading.Timer(0.2, connection.cancel)
timer.start()
with refused(psycopg.errors.QueryCanceled):
    # Many seconds of work on any machine.
    connection.execute("SELECT GENERATE (max_tokens => 1900, ignore_eos => on) FROM demo "
                       "PROMPT IN (" + ", ".join(["'x'"] * 256) + ")")
timer.join()
assert connection.execute("SHOW MODELS").fetchone()[0] == "demo"
connection.close()
print("all checks passed")
