//! flyball-ingest
