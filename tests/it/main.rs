//! psn from the outside: one binary, so that everything is linked once.
//!
//! A test that needs a privilege or a program the machine lacks says so on standard error and
//! passes; no test is retried, and every process a test starts has a deadline and is killed and
//! reaped when the test ends.

/// Fake proc roots, the engine without a clock, children with a deadline, values of reports.
mod support;

/// The engine over a fake proc root, where every answer is known: columns, marks, selection, counts.
mod fake_proc;
