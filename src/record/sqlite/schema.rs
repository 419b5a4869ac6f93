//! Tables and views, and the statements that name the columns of `ticks`.

use std::fmt::Write as _;

use crate::ask::column::Column;
use crate::proc::source::Source;
use crate::record::{Header, RecordedColumn, TickInfo};

/// `PRAGMA application_id` of a recording: `psn1`.
pub(super) const APPLICATION_ID: i32 = 0x7073_6e31;

/// `PRAGMA user_version` of a recording with checksums; it is 0 without.
pub(super) const WITH_SUMS: i32 = 1;

/// How many columns of `ticks` are numbers: the tick's number, those of [`TickInfo`], its group's first row, and how many
/// rows it has.
pub(super) const TICK_NUMBERS: usize = TickInfo::NAMES.len() + 3;

/// The columns of `ticks` in the order of the statements and of the checksum: the numbers, then `states`.
fn tick_columns() -> String {
    format!("tick, {}, first_row, row_count, states", TickInfo::NAMES.join(", "))
}

/// The statement that inserts a tick: its numbers, its states and its checksum.
pub(super) fn insert_tick() -> String {
    let values = vec!["?"; TICK_NUMBERS + 2].join(", ");
    format!("INSERT INTO ticks ({}, sum) VALUES ({values})", tick_columns())
}

/// The statement that selects all ticks. In a recording without checksums, 0 stands for them.
pub(super) fn select_ticks(has_sums: bool) -> String {
    format!("SELECT {}, {} FROM ticks ORDER BY tick", tick_columns(), if has_sums { "sum" } else { "0" })
}

/// The numbers of a tick as they are stored. SQLite's integers are signed; no count comes near their limit.
pub(super) fn tick_numbers(tick: i64, info: &TickInfo, first_row: i64, rows: usize) -> [i64; TICK_NUMBERS] {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut numbers = [tick; TICK_NUMBERS];
    let values = info.numbers().map(signed).into_iter().chain([first_row, signed(rows as u64)]);
    numbers.iter_mut().skip(1).zip(values).for_each(|(number, value)| *number = value);
    numbers
}

/// The statements that create tables and views. Column names are those of the registry, so double quotes are all they need.
pub(super) fn create(header: &Header) -> String {
    let numbers = TickInfo::NAMES.map(|name| format!("{name} INTEGER NOT NULL")).join(", ");
    let mut sql = format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {WITH_SUMS};
         CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
         CREATE TABLE ticks (
             tick INTEGER PRIMARY KEY, {numbers}, states TEXT NOT NULL,
             first_row INTEGER NOT NULL, row_count INTEGER NOT NULL, sum INTEGER NOT NULL);
         CREATE TABLE groups (
             first_row INTEGER PRIMARY KEY, end_row INTEGER NOT NULL, sums BLOB NOT NULL, sum INTEGER NOT NULL);
         CREATE TABLE strings (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, sum INTEGER NOT NULL);
         CREATE TABLE spans (first_tick INTEGER NOT NULL, last_tick INTEGER NOT NULL"
    );
    for column in &header.columns {
        // Without a type, so that numbers stay numbers and marks stay texts.
        let _ = write!(sql, ", \"{}\"", column.name);
    }
    sql.push_str(");\n");
    sql.push_str(&view("samples", "t.tick AS tick, ", header.columns.iter()));
    for source in Source::ALL {
        let of_source = |column: &&RecordedColumn| {
            let identity = ["pid", "task"].contains(&column.name.as_str());
            identity || column.column().is_some_and(|column| table_of(column) == source.name())
        };
        let columns: Vec<&RecordedColumn> = header.columns.iter().filter(of_source).collect();
        let has_own = columns.iter().any(|column| !["pid", "task"].contains(&column.name.as_str()));
        // Several sources may be of one file, as the ids of `status` are.
        let is_first = Source::ALL.into_iter().find(|other| other.name() == source.name()) == Some(source);
        if has_own && is_first {
            let name = source.name().replace('/', "_");
            sql.push_str(&view(&name, "", columns.into_iter()));
        }
    }
    sql
}

/// The table of the original psn that has `column`. It kept what a descriptor refers to with the system call.
const fn table_of(column: &Column) -> &'static str {
    match column.source {
        Source::Fd => Source::Syscall.name(),
        other => other.name(),
    }
}

fn view<'a>(name: &str, first: &str, columns: impl Iterator<Item = &'a RecordedColumn>) -> String {
    let mut sql = format!(
        "CREATE VIEW \"{name}\" AS SELECT {first}strftime('%Y-%m-%dT%H:%M:%S', t.time_ns / 1000000000, 'unixepoch') \
         || printf('.%06d', t.time_ns / 1000 % 1000000) AS event_time"
    );
    for column in columns {
        let name = &column.name;
        let _ = if !column.is_number() {
            write!(sql, ",\n  (SELECT text FROM strings WHERE id = r.\"{name}\") AS \"{name}\"")
        } else if column.divisor > 1 {
            let divisor = column.divisor;
            write!(
                sql,
                ",\n  iif(typeof(r.\"{name}\") = 'integer', r.\"{name}\" / {divisor}.0, r.\"{name}\") AS \"{name}\""
            )
        } else {
            write!(sql, ",\n  r.\"{name}\" AS \"{name}\"")
        };
    }
    // For each span its ticks, not the reverse: there is no index for that.
    sql.push_str("\nFROM spans r CROSS JOIN ticks t ON t.tick BETWEEN r.first_tick AND r.last_tick;\n");
    sql
}
