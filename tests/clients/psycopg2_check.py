"""What psycopg2 does with a server of PromptDB. Ends in "all checks passed", or fails."""
import psycopg2
import psycopg2.extensions

from client_checks import refused

QUESTION = "SELECT GENERATE (max_tokens => 8) FROM demo USE shistel PROMPT %s"

connection = psycopg2.connect("")
assert connection.server_version == 150000, connection.server_version
assert connection.encoding == "UTF8", connection.encoding

# Not in autocommit, so psycopg2 sends BEGIN by itself.
with connection.cursor() as cursor:
    cursor.execute("SHOW MODELS")
    assert [column.name for column in cursor.description][:3] == ["name", "architecture", "parameters"]
    assert cursor.fetchall()[0][0] == "demo"
    assert connection.status == psycopg2.extensions.STATUS_BEGIN
    cursor.execute(QUESTION, ("Who is the mayor of Shistel?",))
    row = cursor.fetchone()
    assert row[0] == " Tebri Jozund", row
    assert isinstance(row[2], int) and isinstance(row[5], float), row
    # A quote in a value is no way out of it.
    cursor.execute("SELECT TOKENS FROM demo PROMPT %s", ("It's \\ 'quoted'; SHOW MODELS",))
    assert "".join(token for _, _, token, _ in cursor.fetchall()).endswith("It's \\ 'quoted'; SHOW MODELS")
connection.commit()

# An error has its SQLSTATE, place and hint, and needs a rollback.
with connection.cursor() as cursor:
    with refused(psycopg2.errors.UndefinedObject) as unknown:
        cursor.execute("SELECT GENERATE FROM dmo PROMPT 'x'")
    assert unknown.error.diag.statement_position == "22", unknown.error.diag.statement_position
    assert "demo" in unknown.error.diag.message_hint, unknown.error.diag.message_hint
    with refused(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SHOW MODELS")
connection.rollback()

connection.autocommit = True
with connection.cursor() as cursor:
    cursor.execute("SELECT module FROM pc_modules WHERE schema = %s AND tokens > %s ORDER BY 1",
                   ("demo", 5))
    assert ("shistel",) in cursor.fetchall()
    cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = %s", ("pc_models",))
    assert cursor.fetchone() == (1,)
    cursor.execute("SET statement_timeout = 1")
    with refused(psycopg2.errors.QueryCanceled):
        # Many seconds of work on any machine.
        cursor.execute("SELECT GENERATE (max_tokens => 1900, ignore_eos => on) FROM demo "
                       "PROMPT IN (" + ", ".join(["'x'"] * 256) + ")")
connection.close()
print("all checks passed")
