//! A fake proc root under the real engine.

mod columns;
mod counting;
mod lifecycle;
mod lookups;
mod selection;
