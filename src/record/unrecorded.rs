//! Reads recordings that lack some of the columns asked for: their rows have a value computed from another column, or a mark.

use super::{Header, Piece, Query, RecordError, Recording, Visit};
use crate::ask::column::{Column, Extract, WaitPart};
use crate::record::tick::TickInfo;
use crate::row::rows::Rows;
use crate::row::value::{Mark, Value};
use crate::time::moment::timestamp;

/// The most times that one sentence lists.
const MAX_NAMED: usize = 3;

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// The recording has them, as the value at this place of its rows.
    Recorded(usize),
    /// They follow from the start of the wait, which is at this place.
    Wait(WaitPart, usize),
    /// It does not have them.
    Nowhere,
}

/// The column that the age of a wait follows from.
const SINCE: &str = "wait_since_ns";

/// Whether the values of `column` are in the recording or follow from what is.
fn has(header: &Header, column: &Column) -> bool {
    header.place(column).is_some() || base_of(column).is_some_and(|base| header.place(base).is_some())
}

/// The column that the values of `column` follow from, if there is one.
fn base_of(column: &Column) -> Option<&'static Column> {
    match column.extract {
        Extract::Waited(WaitPart::Nanoseconds | WaitPart::Microseconds) => Column::find(SINCE),
        _ => None,
    }
}

/// The age of a wait in a tick.
fn age(part: WaitPart, since: Value<'_>, tick: &TickInfo) -> Value<'static> {
    match since {
        Value::Number(since_ns) => {
            let age_ns = (i128::from(tick.time_ns) - since_ns).max(0);
            Value::Number(if part == WaitPart::Microseconds { age_ns / 1000 } else { age_ns })
        }
        Value::Mark(mark) => Value::Mark(mark),
        Value::Text(_) => Value::Mark(Mark::Malformed),
    }
}

/// Reads `recording` as if it had all columns of `query`. The age of a wait is computed from its start; the values of other
/// columns that the recording lacks are [`Mark::Unrecorded`].
pub(crate) fn read(recording: &mut dyn Recording, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
    let header = recording.header();
    if query.columns.iter().all(|column| header.place(column).is_some()) {
        return recording.read(query, visit);
    }
    let mut columns: Vec<&'static Column> = Vec::new();
    let origins: Vec<Origin> = query
        .columns
        .iter()
        .map(|column| {
            let mut read = |column: &'static Column| {
                columns.push(column);
                columns.len() - 1
            };
            match (base_of(column), column.extract) {
                _ if header.place(column).is_some() => Origin::Recorded(read(column)),
                (Some(base), Extract::Waited(part)) if header.place(base).is_some() => Origin::Wait(part, read(base)),
                _ => Origin::Nowhere,
            }
        })
        .collect();
    let mut wide = Rows::new(origins.len());
    recording.read(&Query { columns, ..query.clone() }, &mut |piece| {
        wide.clear();
        for row in 0..piece.rows.len() {
            for origin in &origins {
                wide.push(match *origin {
                    Origin::Recorded(place) => piece.rows.value(row, place),
                    Origin::Wait(part, place) => age(part, piece.rows.value(row, place), piece.tick),
                    Origin::Nowhere => Value::Mark(Mark::Unrecorded),
                });
            }
        }
        visit(Piece { rows: &wide, ..piece })
    })
}

/// Checks that each of `columns` is in at least one of `recordings`, or follows from one that is.
pub(crate) fn check(recordings: &[Box<dyn Recording>], columns: &[&'static Column]) -> Result<(), RecordError> {
    let is_recorded = |column: &Column| recordings.iter().any(|recording| has(recording.header(), column));
    let Some(missing) = columns.iter().find(|column| !is_recorded(column)) else { return Ok(()) };
    let Some(first) = recordings.first() else { return Ok(()) };
    let mut recorded: Vec<String> = Vec::new();
    for name in recordings.iter().flat_map(|recording| recording.header().names()) {
        if !recorded.contains(&name) {
            recorded.push(name);
        }
    }
    Err(RecordError::NotRecorded { path: first.path(), column: missing.name, recorded })
}

/// A sentence for each of `columns` that was not recorded at some time between `from_ns` and `to_ns`: when.
pub(crate) fn sentences(
    recordings: &mut [Box<dyn Recording>],
    columns: &[&'static Column],
    (from_ns, to_ns): (u64, u64),
) -> Result<Vec<String>, RecordError> {
    let mut sentences = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for column in columns {
        if seen.contains(&column.name) {
            continue;
        }
        seen.push(column.name);
        let (mut times, mut more) = (Vec::new(), 0);
        for recording in &mut *recordings {
            if has(recording.header(), column) {
                continue;
            }
            let Some((first, last)) = recording.span()?.filter(|(first, last)| *last >= from_ns && *first < to_ns)
            else {
                continue;
            };
            match timestamp(first.max(from_ns)).zip(timestamp(last.min(to_ns))) {
                Some((first, last)) if times.len() < MAX_NAMED => {
                    times.push(format!("from {first} to {last} on {}", recording.header().host));
                }
                _ => more += 1,
            }
        }
        if more > 0 {
            times.push(format!("in {more} further runs"));
        }
        if !times.is_empty() {
            let (name, times, mark) = (column.name, times.join(", "), Mark::Unrecorded);
            sentences.push(format!("{name} was not recorded {times}: rows of that time show {mark}"));
        }
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::fixture::{COLUMNS, Directory, SECOND, START, add, expected, header, query, read as read_all};
    use crate::record::parquet::{DatasetOptions, create, open};
    use crate::record::{Header, RecordedColumn, TickInfo};

    /// A dataset of two runs. The second is an hour later and lacks `comm` and `wchan`.
    fn two_runs(root: &Directory) -> Vec<Box<dyn Recording>> {
        let mut sink = create(&root.path, &header("a"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..5, START);
        sink.finish(None).unwrap();
        drop(sink);
        let names = ["pid", "task", "starttime", "state_id", "utime_sec"];
        let columns = names.iter().map(|name| RecordedColumn::of(Column::find(name).unwrap())).collect();
        let start = START + 3600 * SECOND;
        let later = Header { columns, started_ns: start, ..header("b") };
        let mut sink = create(&root.path, &later, false, DatasetOptions::default()).unwrap();
        for (tick, _) in expected(0..5, start) {
            let mut rows = Rows::new(names.len());
            (0..5).for_each(|number| rows.push(if number == 3 { Value::Text(b"R") } else { Value::Number(number) }));
            sink.add(&tick, &mut vec![rows]).unwrap();
        }
        sink.finish(None).unwrap();
        open(&root.path, &Arc::default()).unwrap()
    }

    #[test]
    fn rows_show_where_a_column_was_not_recorded_and_the_time_is_told() {
        let root = Directory::new();
        let mut recordings = two_runs(&root);
        let wide = query(&["wchan", "pid", "comm", "state_id"]);
        let mut seen: Vec<(TickInfo, String)> = Vec::new();
        let second = &mut *recordings[1];
        read(second, &wide, &mut |piece| {
            assert_eq!(piece.rows.len(), 1);
            let row: Vec<String> = (0..4).map(|column| format!("{:?}", piece.rows.value(0, column))).collect();
            seen.push((piece.tick.clone(), row.join(" ")));
            Ok(())
        })
        .unwrap();
        let row = "Mark(Unrecorded) Number(0) Mark(Unrecorded) Text([82])".to_owned();
        let ticks = expected(0..5, START + 3600 * SECOND);
        assert_eq!(seen, ticks.into_iter().map(|(tick, _)| (tick, row.clone())).collect::<Vec<_>>());
        let told = sentences(&mut recordings, &wide.columns, (0, u64::MAX)).unwrap();
        let time = "from 2026-11-23T04:00:00Z to 2026-11-23T04:00:00.400000068Z on web/1";
        let sentence = |name: &str| format!("{name} was not recorded {time}: rows of that time show [unrecorded]");
        assert_eq!(told, [sentence("wchan"), sentence("comm")]);
        let before = (0, START + 60 * SECOND);
        assert_eq!(sentences(&mut recordings, &wide.columns, before).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_recording_that_has_all_columns_is_read_as_ever() {
        let root = Directory::new();
        let mut recordings = two_runs(&root);
        let first = &mut *recordings[0];
        let mut rows = 0;
        read(first, &query(&COLUMNS), &mut |piece| {
            rows += piece.rows.len();
            Ok(())
        })
        .unwrap();
        assert_eq!(rows, read_all(first, &query(&COLUMNS)).iter().map(|(_, rows)| rows.len()).sum::<usize>());
    }

    #[test]
    fn a_column_that_no_recording_has_is_an_error() {
        let root = Directory::new();
        let recordings = two_runs(&root);
        assert!(check(&recordings, &query(&COLUMNS).columns).is_ok());
        let error = check(&recordings, &query(&["comm", "syscall"]).columns).unwrap_err();
        assert!(matches!(&error, RecordError::NotRecorded { column: "syscall", recorded, .. } if recorded.len() == 7));
    }
}
