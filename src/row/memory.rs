//! What things take in memory, for budgets of bytes.

/// What a hash table takes for an entry of `bytes`: it is less than half full after it has grown, and has a byte more for
/// each place.
#[must_use]
pub const fn table_entry(bytes: usize) -> usize {
    (bytes + 1) * 16 / 7
}

/// What an allocation of `bytes` takes: allocators round up.
#[must_use]
pub const fn allocation(bytes: usize) -> usize {
    bytes + bytes / 8 + 16
}
