//! A fake proc root under the real engine.

mod columns;
