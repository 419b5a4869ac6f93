//! The checksum of a file's metadata, which is the last of psn's notes in them.
//!
//! It is taken over the metadata, with zeros in its own place, and over the number of bytes before them. So neither can
//! change unnoticed, and the file cannot lose or gain a byte. A file that has this checksum has checksums in its pages, too.

use memchr::memmem;

use crate::record::parquet::format::damage::Damage;

/// The key of the note.
pub(crate) const NOTE: &str = "psn.checksum";

/// The value while the checksum is not known.
pub(crate) const UNKNOWN: &str = "00000000";

/// Writes the checksum into `metadata`, which contain [`UNKNOWN`] in its place. `body` bytes precede them.
pub(crate) fn write(metadata: &mut [u8], body: u64) {
    // It is the last note.
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

/// Checks `sum`, which ends at the offset `end` of `metadata`. `body` bytes precede them.
pub(crate) fn check(metadata: &[u8], end: usize, sum: &str, body: u64) -> Result<(), Damage> {
    if sum.len() == UNKNOWN.len() && of(metadata, end, body) == sum {
        return Ok(());
    }
    Err(Damage::Form("it is damaged: the checksum of its metadata is wrong"))
}

/// The checksum of `metadata`, in which it ends at the offset `end`.
fn of(metadata: &[u8], end: usize, body: u64) -> String {
    let (before, after) = metadata.split_at_checked(end).unwrap_or((metadata, &[]));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before.get(..before.len().saturating_sub(UNKNOWN.len())).unwrap_or_default());
    hasher.update(UNKNOWN.as_bytes());
    hasher.update(after);
    hasher.update(&body.to_le_bytes());
    format!("{:08x}", hasher.finalize())
}
