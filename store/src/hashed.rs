//! Maps and sets of keys that senders choose, of which there are millions: a hash that is quick, and seeded anew by every
//! process, so that nobody can send keys that meet.

pub use foldhash::fast::RandomState;

/// The standard map with that hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The standard set with that hash.
pub type HashSet<T> = std::collections::HashSet<T, RandomState>;
