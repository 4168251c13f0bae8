"""What Python's PostgreSQL client finds on a server with keys: one line of JSON for the test that runs this."""

import json
import sys

import psycopg

host, port, user, password, certificate = sys.argv[1:]
tls = {"sslmode": "verify-full", "sslrootcert": certificate}
found = {}

with psycopg.connect(
    host=host, port=port, user=user, password=password, dbname="default", **tls
) as connection:
    found["tls"] = connection.pgconn.ssl_in_use
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(cost_usd) FROM model_calls WHERE agent_name <> %s", ["x"])
        calls, cost = cursor.fetchone()
        found["calls"], found["cost"] = calls, str(cost)
        # Binary results, and a server-side prepared statement that runs again.
        binary = connection.cursor(binary=True)
        rows = [
            binary.execute(
                "SELECT start_time, input_tokens, cost_usd, agent_name FROM model_calls "
                "WHERE input_tokens > %s ORDER BY start_time, input_tokens LIMIT 3",
                [at],
                prepare=True,
            ).fetchall()
            for at in (0, 0)
        ]
        found["same"] = rows[0] == rows[1] and len(rows[0]) == 3
        found["types"] = [type(value).__name__ for value in rows[0][0]]
    try:
        connection.execute("INSERT INTO charges VALUES (1)")
    except psycopg.Error as error:
        found["insert"] = error.sqlstate
        connection.rollback()
    connection.execute("SET statement_timeout = 1")
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b")
    except psycopg.Error as error:
        found["timeout"] = error.sqlstate

try:
    psycopg.connect(host=host, port=port, user=user, password="fbk_wrong", dbname="default", **tls)
except psycopg.OperationalError as error:
    found["wrong"] = "28P01" if "no key lets" in str(error) else str(error)

print(json.dumps(found))
