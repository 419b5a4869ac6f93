//! stub
use crate::report::Report;
/// f
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Format {
    /// t
    Table,
    /// c
    Csv,
    /// j
    Json,
    /// f
    Folded,
}
/// l
#[derive(Debug, Default)]
pub struct Layout {
    /// w
    pub width: Option<usize>,
    /// f
    pub footer: bool,
}
/// r
pub fn render(report: &Report, _format: Format, _layout: &Layout, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    for row in &report.rows {
        for field in &row.fields {
            match field {
                crate::report::Field::Text(t) => write!(out, "{} | ", String::from_utf8_lossy(t))?,
                crate::report::Field::Mark(t) => write!(out, "{t} | ")?,
                crate::report::Field::Decimal(t) => write!(out, "{t:.2} | ")?,
                crate::report::Field::Integer(t) => write!(out, "{t} | ")?,
                other => write!(out, "{other:?} | ")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        report.ticks, report.tasks, report.cost, report.health, report.coverage, report.warnings
    )
}
