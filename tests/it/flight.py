"""What the ADBC driver for Flight SQL finds on a port of Flyball.

usage: flight.py HOST:PORT AGENT [USER PASSWORD]
Prints one JSON object; numbers that are money as text.
"""
import json
import sys

import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_manager import DatabaseOptions as Named

address, agent = sys.argv[1:3]
options = dict(zip([Named.USERNAME.value, Named.PASSWORD.value], sys.argv[3:]))
found = {}


def refusal(cursor, sql):
    try:
        cursor.execute(sql)
        return "carried out"
    except flight_sql.Error as error:
        return f"{type(error).__name__}: {error}"


with flight_sql.connect(f"grpc://{address}", db_kwargs=options, autocommit=True) as connection:
    found["vendor"] = connection.adbc_get_info()["vendor_name"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) AS spans, count(DISTINCT span_id) AS ids FROM spans")
        found["spans"] = cursor.fetchone()

        cursor.execute("SELECT sum(cost_usd) AS cost, min(start_time) AS first FROM charges")
        table = cursor.fetch_arrow_table()
        found["types"] = [str(column.type) for column in table.columns]
        found["cost"] = str(table["cost"][0].as_py())
        found["first"] = table["first"][0].as_py().isoformat()

        by_agent = "SELECT count(*) FROM charges WHERE agent_name = {} AND calls >= {}"
        for name, sql in {"numbered": by_agent.format("$1", "$2"), "marked": by_agent.format("?", "?")}.items():
            found[name] = []
            for asked in [agent, "nobody"]:
                cursor.execute(sql, (asked, 1))
                found[name].append(cursor.fetchone()[0])

        # Wider than any one message: every row, in batches as they come.
        cursor.execute("SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 30000) AS s(n)")
        found["streamed"] = [0, 0]
        for batch in cursor.fetch_record_batch():
            found["streamed"][0] += batch.num_rows
            found["streamed"][1] += sum(batch.column(0).to_pylist())

        cursor.execute("SELECT charge_id FROM charges WHERE false")
        found["empty"] = cursor.fetch_arrow_table().num_rows

        cursor.execute("SELECT * FROM executions")
        executions = cursor.fetch_arrow_table()
        schema = connection.adbc_get_table_schema("executions", catalog_filter="flyball", db_schema_filter="public")
        found["schema agrees"] = [(f.name, str(f.type)) for f in schema] == [
            (f.name, str(f.type)) for f in executions.schema
        ]

        found["unknown column"] = refusal(cursor, "SELECT no_such FROM charges")
        found["unknown table"] = refusal(cursor, "SELECT * FROM no_such")
        found["insert"] = refusal(cursor, "INSERT INTO charges (charge_id) VALUES ('x')")
        found["drop"] = refusal(cursor, "DROP TABLE charges")
        try:
            cursor.adbc_ingest("charges", executions, mode="append")
            found["ingest"] = "carried out"
        except flight_sql.Error as error:
            found["ingest"] = str(error)

        cursor.execute("SET flyball.read = 'committed'")
        cursor.execute("SHOW flyball.read")
        found["read"] = cursor.fetchone()[1]
    objects = connection.adbc_get_objects(depth="columns", table_name_filter="model_calls").read_all().to_pylist()
    (catalog,) = objects
    (db_schema,) = catalog["catalog_db_schemas"]
    (model_calls,) = db_schema["db_schema_tables"]
    found["objects"] = [
        catalog["catalog_name"],
        db_schema["db_schema_name"],
        model_calls["table_name"],
        model_calls["table_type"],
    ]
    found["columns"] = [column["column_name"] for column in model_calls["table_columns"]]
    found["table types"] = sorted(connection.adbc_get_table_types())

print(json.dumps(found))
