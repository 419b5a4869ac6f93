//! Recordings as SQLite databases.
//!
//! | table | |
//! |---|---|
//! | `meta` | the header and the facts of the report, as JSON |
//! | `ticks` | one row for each tick, with the rowid of its group's first span |
//! | `strings` | each text once, in its stored form ([`super::text`]) |
//! | `groups` | the checksums of each group's spans |
//! | `spans` | the rows, each once for the consecutive ticks in which it did not change: numbers, and the ids of texts |
//!
//! Consecutive ticks form groups, each with spans of its own. So a window of time is read without what came before it, and a
//! flush leaves no span open.
//!
//! For people there are views: `samples` with all columns, and one for each file of /proc, named and laid out as the tables
//! of the original psn.

mod connect;
mod files;
mod new_database;
mod read;
mod schema;
mod snapper;
mod snapper_rows;
mod spans;
mod sums;
mod texts;
mod vfs;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{RecordError, Recording};
use connect::Database;
use read::SqliteRecording;
use snapper::SnapperRecording;
pub(super) use write::SqliteSink;

/// Opens the recording at `path`, psn's or that of the original psn. Setting `stop` ends all reading.
pub(super) fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Box<dyn Recording>, RecordError> {
    let database = Database::open(path, stop)?;
    Ok(if SnapperRecording::is_one(&database) {
        Box::new(SnapperRecording::new(database, path)?)
    } else {
        Box::new(SqliteRecording::new(database, path)?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write::group_spans;
    use super::*;
    use crate::record::fixture::{COLUMNS, Directory, START, header, query, read, texts, threads, tick};
    use crate::record::{RecordError, Sink as _, TickInfo};

    /// Ticks with their rows sorted.
    fn sorted(mut ticks: Vec<(TickInfo, Vec<Vec<String>>)>) -> Vec<(TickInfo, Vec<Vec<String>>)> {
        ticks.iter_mut().for_each(|(_, rows)| rows.sort());
        ticks
    }

    proptest! {
        #[test]
        fn what_stays_and_what_changes_comes_back_tick_by_tick(
            ticks in prop::collection::vec((prop::collection::vec((0u8..6, 0i64..4), 0..8), 0u8..8), 1..40),
            window in (0u64..40, 0u64..40),
        ) {
            let root = Directory::new();
            let path = root.path.join("r.db");
            let mut sink = SqliteSink::create(&path, &header("run"), false).unwrap();
            let mut expected = Vec::new();
            for (number, (seen, is_flushed)) in ticks.iter().enumerate() {
                let (here, there) = seen.split_at(seen.len() / 2);
                // Its integers are signed.
                let info = TickInfo { abandoned: 1, ..tick(number as u64, START) };
                let mut rows = vec![threads(here), threads(there)];
                expected.push((info.clone(), rows.iter().flat_map(|rows| texts(rows, COLUMNS.len())).collect()));
                sink.add(&info, &mut rows).unwrap();
                if *is_flushed == 0 {
                    sink.flush().unwrap();
                }
            }
            sink.finish(None).unwrap();
            let expected = sorted(expected);
            let mut recording = open(&path, &Arc::default()).unwrap();
            prop_assert_eq!(sorted(read(&mut *recording, &query(&COLUMNS))), expected.clone());
            let (from, to) = window;
            let mut within = query(&COLUMNS);
            (within.from_ns, within.to_ns) = (tick(from, START).time_ns, tick(to, START).time_ns);
            let wanted: Vec<_> = expected.into_iter()
                .filter(|(info, _)| (within.from_ns..within.to_ns).contains(&info.time_ns)).collect();
            prop_assert_eq!(sorted(read(&mut *recording, &within)), wanted);
        }
    }

    #[test]
    fn ticks_of_any_size_come_back_and_what_stays_is_stored_once() {
        let root = Directory::new();
        let path = root.path.join("r.db");
        let mut sink = SqliteSink::create(&path, &header("run"), false).unwrap();
        let few = || threads(&[(1, 0), (2, 3)]);
        // More than a group of several ticks may have.
        let large = group_spans(COLUMNS.len()) + 1;
        let many = threads(&vec![(1, 3); large]);
        for number in 0..5000 {
            sink.add(&tick(number, START), &mut vec![few()]).unwrap();
        }
        sink.add(&tick(5000, START), &mut vec![many]).unwrap();
        sink.add(&tick(5001, START), &mut vec![few()]).unwrap();
        sink.finish(None).unwrap();
        let mut recording = open(&path, &Arc::default()).unwrap();
        let mut counts = Vec::new();
        let mut count = 0;
        recording
            .read(&query(&["task"]), &mut |piece| {
                count += piece.rows.len();
                if piece.is_last {
                    counts.push(std::mem::take(&mut count));
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(counts, [vec![2; 5000], vec![large, 2]].concat());
        let db = rusqlite::Connection::open(&path).unwrap();
        let of = |condition: &str| -> (i64, i64) {
            let sql = format!("SELECT count(*), sum(last_tick - first_tick + 1) FROM spans WHERE {condition}");
            db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        assert_eq!(of("last_tick < 5000"), (4, 10_000));
        assert_eq!(of("first_tick >= 5000"), (large as i64 + 2, large as i64 + 2));
    }

    /// A tick with its rows.
    type Tick = (TickInfo, Vec<Vec<String>>);

    /// Turns a recording into one without checksums, as older versions wrote them.
    const FORGET_SUMS: &str = "PRAGMA user_version = 0; DROP TABLE groups; DELETE FROM meta WHERE name LIKE '%.sum';
        ALTER TABLE ticks DROP COLUMN sum; ALTER TABLE strings DROP COLUMN sum;";

    fn database(root: &Directory, ticks: u64) -> std::path::PathBuf {
        let path = root.path.join("r.db");
        let mut sink = SqliteSink::create(&path, &header("run"), true).unwrap();
        for number in 0..ticks {
            sink.add(&tick(number, START), &mut vec![threads(&[(1, 3)])]).unwrap();
            if number % 2 == 1 {
                sink.flush().unwrap();
            }
        }
        sink.finish(None).unwrap();
        path
    }

    /// The ticks with their rows, and the warnings.
    fn told(path: &Path) -> Result<(Vec<Tick>, Vec<String>), String> {
        let mut recording = open(path, &Arc::default()).map_err(|error| error.to_string())?;
        let mut ticks = Vec::new();
        let mut gathered = Vec::new();
        recording
            .read(&query(&COLUMNS), &mut |piece| {
                gathered.extend(texts(piece.rows, COLUMNS.len()));
                if piece.is_last {
                    ticks.push((piece.tick.clone(), std::mem::take(&mut gathered)));
                }
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        Ok((ticks, recording.warnings()))
    }

    #[test]
    fn no_bit_can_change_without_a_word() {
        let root = Directory::new();
        let path = database(&root, 9);
        let whole = told(&path).unwrap();
        assert_eq!((whole.0.len(), whole.1.len()), (9, 0));
        let bytes = std::fs::read(&path).unwrap();
        let mut told_of = 0;
        // A prime, so that the flips reach every page and every position in a page.
        for bit in (0..bytes.len() * 8).step_by(397) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).unwrap();
            match told(&path) {
                Ok((ticks, warnings)) if warnings.is_empty() => assert_eq!(ticks, whole.0, "bit {bit}"),
                _ => told_of += 1,
            }
        }
        assert!(told_of > 10, "{told_of}");
        for len in (0..bytes.len()).step_by(509) {
            std::fs::write(&path, &bytes[..len]).unwrap();
            assert!(!matches!(told(&path), Ok((_, warnings)) if warnings.is_empty()), "cut off at {len}");
        }
    }

    #[test]
    fn what_is_damaged_is_left_out_and_told() {
        let root = Directory::new();
        let damaged = |sql: &str| {
            let path = database(&root, 6);
            rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let (ticks, warnings) = told(&path).unwrap();
            (ticks.len(), warnings.join("; ").replace(&format!("{}: it is damaged: ", path.display()), ""))
        };
        assert_eq!(damaged(""), (6, String::new()));
        let lost = |count: u64| format!("{count} of its ticks are lost, and are not counted");
        assert_eq!(damaged("UPDATE ticks SET processes = 7 WHERE tick = 1"), (5, lost(1)));
        assert_eq!(damaged("DELETE FROM ticks WHERE tick = 3"), (5, lost(1)));
        assert_eq!(damaged("DELETE FROM ticks WHERE tick >= 4"), (4, lost(2)));
        assert_eq!(damaged("UPDATE spans SET task = 7 WHERE first_tick = 0"), (4, lost(2)));
        assert_eq!(damaged("DELETE FROM spans WHERE first_tick = 2"), (4, lost(2)));
        assert_eq!(damaged("UPDATE groups SET end_row = end_row + 1 WHERE first_row = 1"), (4, lost(2)));
        let (ticks, said) = damaged("UPDATE strings SET text = 'other' WHERE id = 1");
        assert_eq!((ticks, said.as_str()), (6, "1 of its texts are lost, and shown as [malformed]"));
    }

    #[test]
    fn a_recording_of_an_older_psn_has_no_checksums_and_is_read() {
        let root = Directory::new();
        let path = database(&root, 6);
        rusqlite::Connection::open(&path).unwrap().execute_batch(FORGET_SUMS).unwrap();
        let (ticks, warnings) = told(&path).unwrap();
        assert_eq!((ticks.len(), warnings.len()), (6, 0));
        rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 1").unwrap();
        assert!(told(&path).unwrap_err().contains("some of its checksums are missing"));
    }

    #[test]
    fn nothing_that_a_stranger_wrote_is_run() {
        let root = Directory::new();
        for sql in [
            "ALTER TABLE ticks RENAME TO other; CREATE VIEW ticks AS SELECT * FROM other",
            "ALTER TABLE ticks ADD COLUMN more AS(abs(tick))",
            "DROP TABLE strings; CREATE VIRTUAL TABLE strings USING fts5(id, text, sum)",
        ] {
            let path = database(&root, 2);
            rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let error = told(&path).unwrap_err();
            assert!(error.contains("not plain tables"), "{sql}: {error}");
        }
        let path = database(&root, 2);
        let more = "CREATE TRIGGER t AFTER INSERT ON ticks BEGIN SELECT 1; END; CREATE INDEX i ON ticks (abs(time_ns))";
        rusqlite::Connection::open(&path).unwrap().execute_batch(more).unwrap();
        assert_eq!(told(&path).unwrap().0.len(), 2, "what is not run does no harm");
    }

    #[test]
    fn a_reading_ends_when_it_is_told_to() {
        let root = Directory::new();
        let path = database(&root, 6);
        let stop = Arc::new(AtomicBool::new(false));
        let mut recording = open(&path, &stop).unwrap();
        let result = recording.read(&query(&["task"]), &mut |_| {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        });
        assert!(matches!(result, Err(RecordError::Stopped)), "{result:?}");
        assert!(matches!(open(&path, &stop), Err(RecordError::Stopped)));
    }

    #[test]
    fn groups_that_no_psn_wrote_are_refused() {
        let root = Directory::new();
        let read = |damage: &str| {
            let path = root.path.join("r.db");
            let mut sink = SqliteSink::create(&path, &header("run"), true).unwrap();
            for number in 0..6 {
                sink.add(&tick(number, START), &mut vec![threads(&[(1, 3)])]).unwrap();
                sink.flush().unwrap();
            }
            sink.finish(None).unwrap();
            let db = rusqlite::Connection::open(&path).unwrap();
            db.execute_batch(FORGET_SUMS).unwrap();
            db.execute_batch(damage).unwrap();
            let mut ticks = 0;
            let result = open(&path, &Arc::default()).unwrap().read(&query(&["task"]), &mut |_| {
                ticks += 1;
                Ok(())
            });
            result.map(|()| ticks).map_err(|error| match error {
                RecordError::Engine { source, .. } => source.to_string(),
                other => panic!("{other}"),
            })
        };
        assert_eq!(read(""), Ok(6));
        assert_eq!(read("UPDATE spans SET first_tick = -9e18, last_tick = 9e18"), Ok(6));
        let overlap = read("UPDATE ticks SET first_row = 7 - first_row");
        assert_eq!(overlap.unwrap_err(), "its groups of ticks overlap");
        let large = read(
            "UPDATE ticks SET first_row = 1; INSERT INTO spans(rowid, first_tick, last_tick) VALUES (9999999, 0, 9)",
        );
        assert_eq!(large.unwrap_err(), "a group of its ticks is larger than any that psn writes");
        let odd = read(&format!("UPDATE spans SET task = printf('%.*c', {}, 'x')", 9 << 20));
        assert_eq!(odd.map(|_| ()), Ok(()), "each lies in a group of its own");
        let odd =
            read(&format!("UPDATE ticks SET first_row = 1; UPDATE spans SET task = printf('%.*c', {}, 'x')", 9 << 20));
        assert_eq!(odd.unwrap_err(), "its numbers are texts");
    }
}
