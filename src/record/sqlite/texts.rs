//! Texts by id, loaded from their stored form.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::sums;
use crate::record::text;
use crate::row::observation::{Mark, Value};

/// A cache of texts.
#[derive(Debug)]
pub(super) struct TextCache {
    texts: HashMap<i64, CachedText, RandomState>,
    bytes: usize,
    select: &'static str,
    has_sums: bool,
    /// How many texts have wrong checksums or are missing.
    damaged: u64,
}

#[derive(Debug)]
enum CachedText {
    Text(Box<[u8]>),
    Mark(Mark),
}

impl CachedText {
    const fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Mark(mark) => Value::Mark(*mark),
        }
    }
}

impl TextCache {
    /// The size in bytes after which the cache is emptied.
    const CACHED_BYTES: usize = 32 << 20;

    /// For a recording with checksums, or without.
    pub(super) fn new(has_sums: bool) -> Self {
        let select = if has_sums {
            "SELECT text, sum FROM strings WHERE id = ?1"
        } else {
            "SELECT text, 0 FROM strings WHERE id = ?1"
        };
        Self { texts: HashMap::default(), bytes: 0, select, has_sums, damaged: 0 }
    }

    /// The text with this id.
    pub(super) fn get(&mut self, db: &Connection, id: i64) -> rusqlite::Result<Value<'_>> {
        if !self.texts.contains_key(&id) {
            if self.bytes > Self::CACHED_BYTES {
                self.texts.clear();
                self.bytes = 0;
            }
            let stored = self.load(db, id)?;
            self.bytes +=
                size_of::<(i64, CachedText)>() + if let CachedText::Text(text) = &stored { text.len() } else { 0 };
            self.texts.insert(id, stored);
        }
        Ok(self.texts.get(&id).map_or(Value::Mark(Mark::Malformed), CachedText::value))
    }

    fn load(&mut self, db: &Connection, id: i64) -> rusqlite::Result<CachedText> {
        let mut select = db.prepare_cached(self.select)?;
        let mut rows = select.query([id])?;
        if let Some(row) = rows.next()?
            && let ValueRef::Text(bytes) = row.get_ref(0)?
            && (!self.has_sums || row.get_ref(1)? == ValueRef::Integer(sums::of_text(id, bytes)))
        {
            let mut buffer = Vec::new();
            return Ok(match text::load(bytes, &mut buffer) {
                Value::Text(bytes) => CachedText::Text(bytes.into()),
                Value::Mark(mark) => CachedText::Mark(mark),
                Value::Number(_) => CachedText::Mark(Mark::Malformed),
            });
        }
        self.damaged += 1;
        Ok(CachedText::Mark(Mark::Malformed))
    }

    /// How many damaged texts were met since the last call.
    pub(super) const fn take_damaged(&mut self) -> u64 {
        std::mem::replace(&mut self.damaged, 0)
    }
}
