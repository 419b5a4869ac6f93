//! The header of a recording of a live run.

use super::error::SessionError;
use crate::config::Config;
use crate::proc::state::state_name;
use crate::proc::{Buffer, ProcRoot};
use crate::record::header::FORMAT;
use crate::record::{Header, RecordedColumn};
use crate::text::sentence::shown;
use crate::time::clock::{boottime_ns, monotonic_ns, realtime_ns};

/// The header for a recording of a run with this configuration. `args` is the command line.
///
/// # Errors
/// When the proc root cannot be opened.
pub fn header(config: &Config, args: Vec<String>) -> Result<Header, SessionError> {
    let root = ProcRoot::open(&config.root).map_err(|error| SessionError::Root { path: shown(&config.root), error })?;
    let mut buffer = Buffer::default();
    let boot_id = root.read_host(c"sys/kernel/random/boot_id", &mut buffer).unwrap_or_default();
    let boot_id = String::from_utf8_lossy(boot_id).trim().to_owned();
    let uname = rustix::system::uname();
    let (started_ns, monotonic_ns) = (realtime_ns(), monotonic_ns());
    let letters = (b'A'..=b'z').filter(|letter| state_name(*letter).is_some() && config.plan.gate.passes(*letter));
    Ok(Header {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Unique: a process starts no two recordings at the same nanosecond.
        run: format!("{boot_id}-{}-{monotonic_ns}", std::process::id()),
        host: uname.nodename().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        boot_id,
        started_ns,
        monotonic_ns,
        boottime_ns: boottime_ns(),
        hz: config.hz,
        args,
        states: letters.map(char::from).collect(),
        filters: config.filters.clone(),
        columns: config.plan.columns.iter().map(|column| RecordedColumn::of(column)).collect(),
    })
}
