//! Estimates of the memory that data structures take, for memory limits.

/// The bytes that a hash table takes per entry of `bytes`, at most: after it has grown it is only 7/16 full, and each slot has
/// a control byte.
#[must_use]
pub(crate) const fn table_entry(bytes: usize) -> usize {
    (bytes + 1) * 16 / 7
}

/// The bytes that an allocation of `bytes` takes at most, because allocators round up.
#[must_use]
pub(crate) const fn allocation(bytes: usize) -> usize {
    bytes + bytes / 8 + 16
}
