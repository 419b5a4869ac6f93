//! Recordings as SQLite databases.
//!
//! | table | |
//! |---|---|
//! | `meta` | the header and the facts of the report, as JSON |
//! | `ticks` | one row a tick, with the place of its group's rows |
//! | `strings` | each text once, in its stored form ([`super::text`]) |
//! | `spans` | the rows: numbers as they are, texts as the ids of strings; once for consecutive ticks in which all stayed so |
//!
//! Ticks are written in groups of consecutive ones, each with spans of its own: `first_row` of a tick is the rowid of its
//! group's first span. So a window of time is read without what came before it, and a flush leaves nothing open.
//!
//! For people there are views: `samples`, with a column for everything, and one for each file of /proc, named
//! and laid out as the original's tables.

mod connect;
mod original;
mod read;
mod schema;
mod spans;
mod write;

pub use original::OriginalRecording;
pub use read::SqliteRecording;
pub use write::SqliteSink;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write::group_spans;
    use super::*;
    use crate::record::fixture::{COLUMNS, Directory, START, header, query, read, texts, threads, tick};
    use crate::record::{RecordError, Recording as _, Sink as _, TickInfo};

    /// A tick as it is to be read, whatever the order of its rows.
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
            let mut recording = SqliteRecording::open(&path).unwrap();
            prop_assert_eq!(sorted(read(&mut recording, &query(&COLUMNS))), expected.clone());
            let (from, to) = window;
            let mut within = query(&COLUMNS);
            (within.from_ns, within.to_ns) = (tick(from, START).time_ns, tick(to, START).time_ns);
            let wanted: Vec<_> = expected.into_iter()
                .filter(|(info, _)| (within.from_ns..within.to_ns).contains(&info.time_ns)).collect();
            prop_assert_eq!(sorted(read(&mut recording, &within)), wanted);
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
        let mut recording = SqliteRecording::open(&path).unwrap();
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
            rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
            let mut ticks = 0;
            let result = SqliteRecording::open(&path).unwrap().read(&query(&["task"]), &mut |_| {
                ticks += 1;
                Ok(())
            });
            result.map(|()| ticks).map_err(|error| match error {
                RecordError::Engine { reason, .. } => reason,
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
        assert_eq!(large.unwrap_err(), "a group of its ticks is larger than any of psn's");
        let odd = read(&format!("UPDATE spans SET task = printf('%.*c', {}, 'x')", 9 << 20));
        assert_eq!(odd.map(|_| ()), Ok(()), "each lies in a group of its own");
        let odd =
            read(&format!("UPDATE ticks SET first_row = 1; UPDATE spans SET task = printf('%.*c', {}, 'x')", 9 << 20));
        assert_eq!(odd.unwrap_err(), "its numbers are texts");
    }
}
