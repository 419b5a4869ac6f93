//! The checksum of what a file says of itself at its end: a note among its others.
//!
//! It is that of the metadata with zeros in its own place, and of how many bytes stand before them: neither can change
//! unnoticed, nor can the file lose or gain a byte. That its pages have checksums of their own is said by this one.

use memchr::memmem;

use crate::record::parquet::format::damage::Damage;

/// The key of the note.
pub(crate) const NOTE: &str = "psn.checksum";

/// Its value, until it is known.
pub(crate) const UNKNOWN: &str = "00000000";

/// Writes the checksum into `metadata`, which have it as [`UNKNOWN`]; `body` bytes stand before them.
pub(crate) fn write(metadata: &mut [u8], body: u64) {
    // It is the last of the notes.
    let place = memmem::rfind(metadata, NOTE.as_bytes()).and_then(|key| {
        let value = memmem::find(metadata.get(key..)?, UNKNOWN.as_bytes())?;
        Some(key + value)
    });
    let Some(place) = place else { return };
    let sum = of(metadata, place + UNKNOWN.len(), body);
    if let Some(digits) = metadata.get_mut(place..place + UNKNOWN.len()) {
        digits.copy_from_slice(sum.as_bytes());
    }
}

/// Checks that `sum`, which ends at `end`, is that of `metadata` with `body` bytes before them.
///
/// # Errors
/// When it is not.
pub(crate) fn check(metadata: &[u8], end: usize, sum: &str, body: u64) -> Result<(), Damage> {
    if sum.len() == UNKNOWN.len() && of(metadata, end, body) == sum {
        return Ok(());
    }
    Err(Damage::Form("it is damaged: what it says of itself is not what its checksum says"))
}

/// The checksum of `metadata`, where it ends at `end`.
fn of(metadata: &[u8], end: usize, body: u64) -> String {
    let (before, after) = metadata.split_at_checked(end).unwrap_or((metadata, &[]));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before.get(..before.len().saturating_sub(UNKNOWN.len())).unwrap_or_default());
    hasher.update(UNKNOWN.as_bytes());
    hasher.update(after);
    hasher.update(&body.to_le_bytes());
    format!("{:08x}", hasher.finalize())
}
