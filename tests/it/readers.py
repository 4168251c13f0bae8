"""Totals of given versions of Flyball's tables, as three other readers of Delta Lake find them.

usage: readers.py ROOT VERSIONS [ENDPOINT]
ROOT: folder or s3:// URL of a workspace's tables. VERSIONS: JSON, version by table.
ENDPOINT: host:port of an S3 server that takes any key.
Prints JSON: reader -> table -> totals, every one as text.
"""
import json
import os
import sys
from decimal import Decimal

import duckdb
import polars
import pyarrow.compute as pc
from deltalake import DeltaTable
from duckdb_extensions import import_extension

# What is added up, by table: whole numbers and money.
SUMS = {
    "spans": ["input_tokens", "output_tokens"],
    "charges": ["calls", "input_tokens", "output_tokens", "cost_usd"],
}

root, versions = sys.argv[1], json.loads(sys.argv[2])
endpoint = sys.argv[3] if len(sys.argv) > 3 else None
options = {
    "AWS_ENDPOINT_URL": f"http://{endpoint}",
    "AWS_ALLOW_HTTP": "true",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
} if endpoint else None


def text(value):
    if value is None:
        return "0"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def with_deltalake(table, version):
    rows = DeltaTable(f"{root}/{table}", version=version, storage_options=options).to_pyarrow_table()
    # pyarrow sums a decimal within its own precision, which could be too small; Python's has no bound.
    def total(name):
        column = rows[name]
        if str(column.type).startswith("decimal"):
            return sum((value for value in column.to_pylist() if value is not None), Decimal(0))
        return pc.sum(column).as_py()

    return [rows.num_rows, pc.count_distinct(rows["span_id"]).as_py()] + [total(name) for name in SUMS[table]]


def with_duckdb(table, version):
    db = duckdb.connect()
    for extension in ["httpfs", "delta"]:
        import_extension(extension)
        db.execute(f"LOAD {extension}")
    if endpoint:
        db.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID 'any', SECRET 'any', REGION 'us-east-1', ENDPOINT '{endpoint}',"
            " USE_SSL false, URL_STYLE 'path')"
        )
    sums = "".join(f", sum({name})" for name in SUMS[table])
    place = f"{root}/{table}" if endpoint else f"file://{root}/{table}"
    sql = f"SELECT count(*), count(DISTINCT span_id){sums} FROM delta_scan('{place}', version := {version})"
    return list(db.execute(sql).fetchone())


def with_polars(table, version):
    rows = polars.scan_delta(f"{root}/{table}", version=version, storage_options=options)
    ids = polars.col("span_id").n_unique().alias("ids")
    sums = [polars.col(name).sum() for name in SUMS[table]]
    return list(rows.select(polars.len(), ids, *sums).collect().row(0))


readers = {"deltalake": with_deltalake, "duckdb": with_duckdb, "polars": with_polars}
names = {table: ["rows", "ids"] + sums for table, sums in SUMS.items()}
print(
    json.dumps(
        {
            reader: {
                table: dict(zip(names[table], map(text, read(table, versions[table]))))
                for table in versions
            }
            for reader, read in readers.items()
        }
    ),
    flush=True,
)
# Their thread pools now and then abort the interpreter's own way out.
os._exit(0)
