//! Texts as small numbers, so that group keys compare and hash as integers.
//!
//! One [`Interner`] serves a session; each worker asks it through a [`LocalInterner`], a private
//! cache, so that a text seen before costs one hash lookup and no lock.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use dashmap::DashMap;

/// An interned text: equal symbols are equal texts, within one interner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

/// The session's texts.
#[derive(Debug, Default)]
pub struct Interner {
    symbols: DashMap<Arc<[u8]>, Symbol, foldhash::fast::RandomState>,
    texts: RwLock<Vec<Arc<[u8]>>>,
}

impl Interner {
    /// The symbol of `text`, made if it is new.
    pub fn intern(&self, text: &[u8]) -> Symbol {
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let text: Arc<[u8]> = text.into();
        // The entry's shard stays locked until the text is in both tables, so two workers that meet
        // the same new text get one symbol.
        *self.symbols.entry(Arc::clone(&text)).or_insert_with(|| {
            let mut texts = self.texts.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            let symbol = Symbol(u32::try_from(texts.len()).unwrap_or(u32::MAX));
            texts.push(text);
            symbol
        })
    }

    /// The text of `symbol`; empty for a symbol of another interner.
    #[must_use]
    pub fn text(&self, symbol: Symbol) -> Arc<[u8]> {
        let texts = self.texts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        texts.get(symbol.0 as usize).cloned().unwrap_or_default()
    }

    /// The number of distinct texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether nothing was interned yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

/// A worker's private view of the session's interner.
#[derive(Debug)]
pub struct LocalInterner {
    shared: Arc<Interner>,
    cache: HashMap<Box<[u8]>, Symbol, foldhash::fast::RandomState>,
}

impl LocalInterner {
    /// Entries after which the private cache starts over: it bounds memory when texts never repeat.
    const CACHE_ENTRIES: usize = 1 << 16;

    /// An empty view of `shared`.
    #[must_use]
    pub fn new(shared: Arc<Interner>) -> Self {
        Self { shared, cache: HashMap::default() }
    }

    /// The symbol of `text`, made if it is new.
    pub fn intern(&mut self, text: &[u8]) -> Symbol {
        if let Some(symbol) = self.cache.get(text) {
            return *symbol;
        }
        let symbol = self.shared.intern(text);
        if self.cache.len() >= Self::CACHE_ENTRIES {
            self.cache.clear();
        }
        self.cache.insert(text.into(), symbol);
        symbol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_symbol_and_come_back_unchanged() {
        let shared = Arc::new(Interner::default());
        let mut one = LocalInterner::new(Arc::clone(&shared));
        let mut two = LocalInterner::new(Arc::clone(&shared));
        let symbol = one.intern(b"\xff\n");
        assert_eq!(two.intern(b"\xff\n"), symbol);
        assert_ne!(two.intern(b""), symbol);
        assert_eq!(&*shared.text(symbol), b"\xff\n");
        assert_eq!(shared.len(), 2);
    }
}
