//! Which parts have to go, so that a dataset does not fill the disk.

use std::time::Duration;

use super::dataset::Catalog;
use super::name;
use crate::moment::nanoseconds;

/// The names of the parts that end before `keep` ago, or are too many for `max_size` bytes: the oldest, never the newest.
pub fn excess(catalog: &Catalog, now_ns: u64, keep: Option<Duration>, max_size: Option<u64>) -> Vec<String> {
    // Of one host there is one writer at a time, so that a part ends before the next one begins.
    let oldest = keep.map(|keep| name::start(now_ns.saturating_sub(nanoseconds(keep))));
    let mut bytes: u64 = catalog.values().map(|entry| entry.bytes).sum();
    let mut names = Vec::new();
    for ((name, entry), (_, next)) in catalog.iter().zip(catalog.iter().skip(1)) {
        let is_old = oldest.as_ref().is_some_and(|oldest| next.name.start <= *oldest);
        if !is_old && max_size.is_none_or(|max_size| bytes <= max_size) {
            break;
        }
        bytes -= entry.bytes;
        names.push(name.clone());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::record::parquet::dataset::Entry;
    use crate::record::parquet::name::PartName;

    /// Parts of 100 bytes that begin at these seconds.
    fn catalog(seconds: &[u64]) -> Catalog {
        let entry = |(number, second): (usize, &u64)| {
            let name = PartName::new(second * 1_000_000_000, "run", number as u64);
            (name.to_string(), Entry { name, directory: PathBuf::new(), bytes: 100 })
        };
        seconds.iter().enumerate().map(entry).collect()
    }

    fn count(seconds: &[u64], now: u64, keep: Option<u64>, max_size: Option<u64>) -> usize {
        excess(&catalog(seconds), now * 1_000_000_000, keep.map(Duration::from_secs), max_size).len()
    }

    #[test]
    fn what_is_older_goes_once_all_of_it_is() {
        let seconds = [1000, 1010, 1020, 1030];
        assert_eq!(count(&seconds, 1040, None, None), 0);
        assert_eq!(count(&seconds, 1040, Some(25), None), 1, "the second lasts until 1020");
        assert_eq!(count(&seconds, 1040, Some(20), None), 2);
        assert_eq!(count(&seconds, 1040, Some(0), None), 3, "the newest stays");
        assert_eq!(count(&seconds, 1040, Some(5000), None), 0);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let seconds = [1000, 1010, 1020, 1030];
        assert_eq!(count(&seconds, 1040, None, Some(400)), 0);
        assert_eq!(count(&seconds, 1040, None, Some(399)), 1);
        assert_eq!(count(&seconds, 1040, None, Some(1)), 3, "the newest stays");
        assert_eq!(count(&seconds, 1040, Some(25), Some(250)), 2);
        assert_eq!(count(&[], 1040, Some(1), Some(1)), 0);
    }
}
