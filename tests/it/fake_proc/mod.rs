//! A fake proc root under the real engine.

mod columns;
mod counting;
mod lifecycle;
mod links;
mod lookups;
mod selection;
