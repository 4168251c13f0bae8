//! flyball-query
