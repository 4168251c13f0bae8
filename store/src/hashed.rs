//! Maps and sets of ids and names, of which there are millions: a quick hash, seeded anew by every process. Senders choose
//! these keys, and without the seed it is hard to choose many that meet. Where that must be impossible, take the standard
//! maps.

pub use foldhash::fast::RandomState;

/// The standard map with that hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The standard set with that hash.
pub type HashSet<T> = std::collections::HashSet<T, RandomState>;
