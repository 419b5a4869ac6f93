//! Standard output: its width, its characters, and all writes to it.

use crate::output::{self, Charset, Format, RenderOptions};
use crate::report::Report;
use anyhow::Context as _;
use indicatif::ProgressStyle;
use std::io::{self, IsTerminal, Write};

/// Writes to standard output. An error if not everything could be written.
pub(super) fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    write(&mut text).context("cannot make the output")?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// The error if a report cannot be written.
pub(super) const CANNOT_WRITE: &str = "cannot write the report to standard output";

/// Writes a report to standard output.
pub(super) fn print_report(report: &Report, format: Format, footer: bool, raw_csv: bool) -> anyhow::Result<()> {
    write_out(|out| output::render(report, format, &layout(format, footer, raw_csv), out))
}

pub(super) fn layout(format: Format, footer: bool, raw_csv: bool) -> RenderOptions {
    let is_terminal = io::stdout().is_terminal();
    let charset = match format {
        Format::Table => charset(is_terminal),
        _ => Charset::of_programs(&|name| std::env::var_os(name), is_terminal),
    };
    RenderOptions { width: terminal_width(), footer, defuse_formulas: !raw_csv, charset }
}

/// Writes to standard output piece by piece: the whole may be more than fits in memory.
pub(super) fn write_out(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).context(CANNOT_WRITE)
}

/// The characters for text that people read, on a stream that is a terminal or not.
pub(super) fn charset(is_terminal: bool) -> Charset {
    Charset::of_people(&|name| std::env::var_os(name), is_terminal)
}

/// The style of a progress bar, in characters that standard error can show.
pub(super) fn in_charset(style: ProgressStyle) -> ProgressStyle {
    let charset = charset(super::tell::is_terminal());
    let style = charset.bar().into_iter().fold(style, ProgressStyle::progress_chars);
    charset.spinner().into_iter().fold(style, ProgressStyle::tick_chars)
}

/// The width of standard output in columns; `None` if it is not a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
