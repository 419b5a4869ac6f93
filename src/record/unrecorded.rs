//! Reads recordings that lack some of the columns asked for: their rows have a mark in place of the values.

use super::{Piece, Query, RecordError, Recording, Visit};
use crate::ask::column::Column;
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;
use crate::time::moment::timestamp;

/// The most times that one sentence lists.
const MAX_NAMED: usize = 3;

/// Reads `recording` as if it had all columns of `query`. The values of columns that it lacks are [`Mark::Unrecorded`].
pub(crate) fn read(recording: &mut dyn Recording, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
    let is_recorded = |column: &&'static Column| recording.header().place(column).is_some();
    let recorded: Vec<bool> = query.columns.iter().map(is_recorded).collect();
    if !recorded.contains(&false) {
        return recording.read(query, visit);
    }
    let narrow = Query { columns: query.columns.iter().copied().filter(is_recorded).collect(), ..query.clone() };
    let mut wide = Rows::new(recorded.len());
    recording.read(&narrow, &mut |piece| {
        wide.clear();
        for row in 0..piece.rows.len() {
            let mut place = 0;
            for is_recorded in &recorded {
                wide.push(if *is_recorded { piece.rows.value(row, place) } else { Value::Mark(Mark::Unrecorded) });
                place += usize::from(*is_recorded);
            }
        }
        visit(Piece { rows: &wide, ..piece })
    })
}

/// Checks that each of `columns` is in at least one of `recordings`.
pub(crate) fn check(recordings: &[Box<dyn Recording>], columns: &[&'static Column]) -> Result<(), RecordError> {
    let is_recorded = |column: &Column| recordings.iter().any(|recording| recording.header().place(column).is_some());
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
            if recording.header().place(column).is_some() {
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
