"""Asks DuckDB, on the Parquet files of each Delta table's last version: rows and milliseconds, as JSON."""

import json
import sys
import time

import duckdb
from deltalake import DeltaTable

order = json.loads(sys.argv[1])
connection = duckdb.connect(config={"threads": order["threads"]})
connection.execute("SET TimeZone = 'UTC'")
for table in ("spans", "charges"):
    files = DeltaTable(f"{order['tables']}/{table}").file_uris()
    connection.execute(
        f"CREATE VIEW {table} AS SELECT * FROM read_parquet({json.dumps(files)!s}, hive_partitioning = true)".replace('"', "'")
    )
answers = []
for sql in order["questions"]:
    took = []
    for _ in range(order["rounds"]):
        started = time.perf_counter()
        rows = connection.execute(sql).fetch_arrow_table()
        took.append((time.perf_counter() - started) * 1e3)
    answers.append({"rows": rows.num_rows, "ms": took})
print(json.dumps(answers))
