//! Files of the whole host, such as `loadavg`.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::fs::Mode;

use crate::proc::buffer::Buffer;
use crate::proc::deadline::HelperThread;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::host_files::{check, read};
use crate::proc::open::OPEN_FILE;
use crate::proc::root::ProcRoot;
use crate::text::sentence::shown;

pub use crate::proc::deadline::within;

impl ProcRoot {
    /// Reads a file of the whole host, such as `loadavg`, if it is on the file system of the root and answers in time. A file
    /// that does not is not tried again.
    ///
    /// # Errors
    /// The class of the failure. A file over which something else is mounted is [`ReadError::Unsupported`].
    pub(crate) fn read_host<'b>(&self, name: &CStr, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        self.read_host_by(&mut HelperThread::default(), name, buffer)
    }

    /// Reads a file of the whole host as [`read_host`](Self::read_host) does, but by the thread of `helper`, for callers that
    /// read often.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_host_by<'b>(
        &self,
        helper: &mut HelperThread,
        name: &CStr,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        self.inject(Call::Open, None)?;
        let bytes = self.host.ask(helper, name, Arc::clone(&self.fd), read)?;
        let limit = self.inject(Call::Read, None)?;
        buffer.store(limit.and_then(|limit| bytes.get(..limit)).unwrap_or(&bytes));
        Ok(buffer.bytes())
    }

    /// Whether a file of the whole host is on the file system of the root and answers in time.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn check_host(&self, name: &CStr) -> Result<(), ReadError> {
        self.host.ask(&mut HelperThread::default(), name, Arc::clone(&self.fd), check)
    }

    /// Opens a long file of the whole host, such as `kallsyms`, for a caller that reads it line by line. It is checked first, so
    /// that reading it does not block.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(crate) fn open_host(&self, name: &CStr) -> io::Result<File> {
        self.check_host(name).map_err(|error| match error {
            ReadError::Unsupported => io::Error::other("something else is mounted over it"),
            error => io::Error::other(error.to_string()),
        })?;
        Ok(rustix::fs::openat(&self.fd, name, OPEN_FILE, Mode::empty())?.into())
    }

    /// A sentence for each file of the whole host that was not used because it cannot be relied on.
    #[must_use]
    pub(crate) fn host_warnings(&self) -> Vec<String> {
        let sentence = |(name, why): (String, &str)| {
            let instead = match name.as_str() {
                "loadavg" => "new tasks were found without it, by listing them at every look or by walks",
                "stat" => "the report does not tell the load of the host",
                "meminfo" => "the number of files kept open was bounded by the limit on open files alone",
                "sys/kernel/random/boot_id" => "the recording does not say of which boot it is",
                "self/mountinfo" => "whether the mount hides processes is not known",
                _ => "psn did without",
            };
            format!("{}/{name} {why}, and was not used: {instead}", shown(self.path()))
        };
        // The kernel walk has a warning of its own for a missing list of symbols.
        let files = self.host.unreliable().into_iter().filter(|(name, _)| name != "kallsyms");
        files.map(sentence).collect()
    }
}
