//! A [`Report`] becomes text, written to the writer that is given.
//!
//! There is one file for each format. All of them turn bytes into text by [`text::escape`](crate::text::escape) only: names,
//! paths and messages are hostile until they are escaped.

mod advice;
pub mod charset;
mod csv;
mod figures;
#[cfg(test)]
pub(crate) mod fixture;
mod folded;
mod footer;
mod json;
mod table;

use std::io;

use crate::report::Report;

pub use advice::warnings;
pub use charset::Charset;

use charset::{AsciiWriter, Notation};

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    Table,
    /// Comma-separated values (RFC 4180), for spreadsheets and scripts
    Csv,
    /// One JSON object: the rows and everything known of the run
    Json,
    /// Folded stacks, for flame graphs
    Folded,
}

/// Options for writing a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// Columns of the terminal that tables are shortened to; without a terminal nothing is shortened.
    pub width: Option<usize>,
    /// Whether the account of the run follows the table.
    pub footer: bool,
    /// Whether CSV puts a `'` before texts that a spreadsheet would run as formulas.
    pub defuse_formulas: bool,
    /// The characters that may be written.
    pub charset: Charset,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { width: None, footer: true, defuse_formulas: true, charset: Charset::Utf8 }
    }
}

/// Writes `report` to `out`, which should be buffered.
///
/// # Errors
/// Those of `out`, a closed pipe among them.
pub fn render(report: &Report, format: Format, layout: &RenderOptions, out: &mut dyn io::Write) -> io::Result<()> {
    if format != Format::Table && layout.charset == Charset::Ascii {
        let notation = if format == Format::Json { Notation::Json } else { Notation::Escape };
        let layout = RenderOptions { charset: Charset::Utf8, ..*layout };
        return render(report, format, &layout, &mut AsciiWriter::new(out, notation));
    }
    match format {
        Format::Table => {
            table::render(report, layout.width, layout.charset, out)?;
            if layout.footer { footer::render(report, layout.width, layout.charset, out) } else { Ok(()) }
        }
        Format::Csv => csv::render(report, layout.defuse_formulas, out),
        Format::Json => json::render(report, out),
        Format::Folded => folded::render(report, out),
    }
}

/// Writes only the account of the run.
///
/// # Errors
/// Those of `out`.
pub fn account(report: &Report, layout: &RenderOptions, out: &mut dyn io::Write) -> io::Result<()> {
    footer::render(report, layout.width, layout.charset, out)
}

/// Writes the rows of `report` as a part of the output: `is_first` if no row was written before.
///
/// # Errors
/// Those of `out`.
pub(crate) fn more_rows(
    report: &Report,
    format: Format,
    layout: &RenderOptions,
    is_first: bool,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::render(report, layout.width, layout.charset, out),
        Format::Csv => csv::rows(report, layout.defuse_formulas, is_first, out),
        Format::Json => json::rows(report, is_first, out),
        Format::Folded => folded::render(report, out),
    }
}

pub(crate) use json::{begin as begin_json, end as end_json};
pub(crate) use table::natural_width;

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(format: Format, layout: &RenderOptions) -> String {
        let mut out = Vec::new();
        render(&fixture::trouble(), format, layout, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_footer_follows_the_table_and_nothing_else() {
        let quiet = RenderOptions { footer: false, ..RenderOptions::default() };
        let table = rendered(Format::Table, &quiet);
        let footer = rendered(Format::Table, &RenderOptions::default()).strip_prefix(&table).map(str::to_owned);
        assert!(footer.is_some_and(|footer| footer.starts_with("\nticks:")));
        for format in [Format::Csv, Format::Json, Format::Folded] {
            assert_eq!(rendered(format, &quiet), rendered(format, &RenderOptions::default()));
        }
    }

    #[test]
    fn every_format_can_do_with_ascii() {
        let mut report = fixture::trouble();
        report.facts.warnings.push("x\u{db}2J…".to_owned());
        for (row, name) in report.rows.iter_mut().zip(["A\u{db}2JB", "日本語", "Привет", "🦀"]) {
            *row = fixture::with_name(row, fixture::text(name));
        }
        for format in [Format::Table, Format::Csv, Format::Json, Format::Folded] {
            for width in [None, Some(80)] {
                let layout = RenderOptions { width, charset: Charset::Ascii, ..RenderOptions::default() };
                let mut out = Vec::new();
                render(&report, format, &layout, &mut out).unwrap();
                let text = String::from_utf8(out).unwrap();
                assert!(text.is_ascii(), "{text}");
                match format {
                    Format::Json => {
                        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
                        assert_eq!(object["rows"][0]["comm"], "A\u{db}2JB", "JSON has a spelling of its own");
                    }
                    Format::Table if width.is_some() => assert!(text.contains(r"A\u{db}2JB"), "{text}"),
                    _ => assert!(text.contains(r"A\u{db}2JB"), "{text}"),
                }
            }
        }
    }

    #[test]
    fn a_writer_that_fails_is_reported() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Table, Format::Csv, Format::Json, Format::Folded] {
            let result = render(&fixture::trouble(), format, &RenderOptions::default(), &mut Closed);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
