//! Recordings as SQLite databases.
//!
//! | table | |
//! |---|---|
//! | `meta` | the header and the facts of the report, as JSON |
//! | `ticks` | one row a tick, with the place of its rows |
//! | `strings` | each text once, in its stored form ([`super::text`]) |
//! | `sample_rows` | the rows: numbers as they are, texts as the ids of strings |
//!
//! For people there are views: `samples`, with a column for everything, and one for each file of /proc, named
//! and laid out as the original's tables.

mod connect;
mod original;
mod read;
mod schema;
mod write;

pub use original::OriginalRecording;
pub use read::SqliteRecording;
pub use write::SqliteSink;
