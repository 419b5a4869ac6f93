//! Who is in which state: ways to find out that do not read a file for each thread.

pub mod kernel;
