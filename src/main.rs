//! flyball
fn main() {}
