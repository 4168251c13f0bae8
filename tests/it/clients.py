"""What Python's PostgreSQL clients find on a server with keys: one line of JSON for the test that runs this."""

import json
import sys

import psycopg
import sqlalchemy

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

url = sqlalchemy.URL.create(
    "postgresql+psycopg", user, password, host, int(port), "default", query=tls
)
engine = sqlalchemy.create_engine(url)
inspector = sqlalchemy.inspect(engine)
found["schemas"] = "public" in inspector.get_schema_names()
found["tables"] = sorted(set(inspector.get_table_names()) & {"spans", "charges"})
found["views"] = sorted(set(inspector.get_view_names()) & {"model_calls", "cost_per_decision"})
found["columns"] = {
    column["name"]: str(column["type"])
    for column in inspector.get_columns("charges")
    if column["name"] in ("cost_usd", "start_time", "input_tokens", "agent_name", "escalated")
}
table = sqlalchemy.Table("charges", sqlalchemy.MetaData(), autoload_with=engine)
with engine.connect() as connection:
    total = sqlalchemy.select(sqlalchemy.func.sum(table.c.cost_usd))
    found["reflected"] = str(connection.execute(total).scalar())

print(json.dumps(found))
