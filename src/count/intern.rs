//! Texts as small numbers, so that group keys compare and hash as integers.
//!
//! A session has one [`Interner`]. Each worker asks it through a [`LocalInterner`], a private cache: a text seen before costs
//! one hash lookup and no lock. Both take their memory from a [`Budget`]; a text for which there is no memory gets no symbol.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;

use crate::row::memory::Budget;
use crate::row::memory::{allocation, table_entry};
use crate::row::value::{OwnedValue, ValueOf};

/// An interned text: equal symbols are equal texts, within one interner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

/// A value whose text is interned: one dimension of a group's key.
pub type InternedValue = ValueOf<Symbol>;

/// A group's values while it is counted, one for each dimension. Folds and the aggregator share it.
pub(super) type Key = Arc<[InternedValue]>;

/// The texts of a session.
#[derive(Debug)]
pub(crate) struct Interner {
    symbols: DashMap<Arc<[u8]>, Symbol, RandomState>,
    texts: RwLock<Vec<Arc<[u8]>>>,
    budget: Arc<Budget>,
}

impl Interner {
    /// An empty interner that takes its memory from `budget`.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { symbols: DashMap::default(), texts: RwLock::default(), budget }
    }

    /// Bytes that a text of `len` bytes takes in both tables.
    const fn cost(len: usize) -> usize {
        let entries = table_entry(size_of::<(Arc<[u8]>, Symbol)>()) + 2 * size_of::<Arc<[u8]>>();
        // The `Arc` has two counts before the text.
        entries + allocation(len + 2 * size_of::<usize>())
    }

    /// The symbol of `text`. `None` if the text is new and the budget has no memory for it.
    pub(super) fn intern(&self, text: &[u8]) -> Option<Symbol> {
        self.entry(text).map(|(_, symbol)| symbol)
    }

    /// The symbol of `text`, and the interner's copy of it.
    fn entry(&self, text: &[u8]) -> Option<(Arc<[u8]>, Symbol)> {
        if let Some(known) = self.symbols.get(text) {
            return Some((Arc::clone(known.key()), *known));
        }
        let cost = Self::cost(text.len());
        if !self.budget.take(cost) {
            return None;
        }
        // The entry's shard stays locked until the text is in both tables: two workers that see the same new text at once
        // get the same symbol.
        match self.symbols.entry(text.into()) {
            Entry::Occupied(known) => {
                self.budget.give(cost);
                Some((Arc::clone(known.key()), *known.get()))
            }
            Entry::Vacant(entry) => {
                let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
                let symbol = Symbol(u32::try_from(texts.len()).ok()?);
                let text = Arc::clone(entry.key());
                texts.push(Arc::clone(&text));
                entry.insert(symbol);
                Some((text, symbol))
            }
        }
    }

    /// The text of `symbol`; empty if the symbol is of another interner.
    pub(crate) fn text(&self, symbol: Symbol) -> Arc<[u8]> {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.get(symbol.0 as usize).cloned().unwrap_or_default()
    }

    /// `value` with its text.
    pub(crate) fn owned(&self, value: InternedValue) -> OwnedValue {
        value.map(|symbol| self.text(symbol))
    }

    /// The number of distinct texts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.symbols.len()
    }
}

/// A worker's private cache of the session's interner.
#[derive(Debug)]
pub(super) struct LocalInterner {
    shared: Arc<Interner>,
    /// The keys share their memory with the interner.
    cache: HashMap<Arc<[u8]>, Symbol, RandomState>,
    budget: Arc<Budget>,
}

impl LocalInterner {
    /// Entries after which the cache is emptied.
    const CACHE_ENTRIES: usize = 1 << 16;

    /// The same, if the budget is nearly used up.
    const TIGHT_ENTRIES: usize = 1 << 10;

    /// Bytes of an entry.
    const COST: usize = table_entry(size_of::<(Arc<[u8]>, Symbol)>());

    /// An empty cache of `shared` that takes its memory from `budget`.
    pub(super) fn new(shared: Arc<Interner>, budget: Arc<Budget>) -> Self {
        Self { shared, cache: HashMap::default(), budget }
    }

    /// The symbol of `text`. `None` if the text is new and the budget has no memory for it.
    #[inline]
    pub(super) fn intern(&mut self, text: &[u8]) -> Option<Symbol> {
        match self.cache.get(text) {
            Some(symbol) => Some(*symbol),
            None => self.ask(text),
        }
    }

    /// Asks the session's interner, and caches the answer.
    #[cold]
    fn ask(&mut self, text: &[u8]) -> Option<Symbol> {
        let (text, symbol) = self.shared.entry(text)?;
        let most = if self.budget.is_tight() { Self::TIGHT_ENTRIES } else { Self::CACHE_ENTRIES };
        if self.cache.len() >= most {
            self.forget();
        }
        if self.budget.take(Self::COST) {
            self.cache.insert(text, symbol);
        }
        Some(symbol)
    }

    /// Empties the cache and returns its memory to the budget.
    pub(super) fn forget(&mut self) {
        self.budget.give(self.cache.len() * Self::COST);
        self.cache = HashMap::default();
    }
}

impl Drop for LocalInterner {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget::new(bytes))
    }

    #[test]
    fn equal_texts_share_a_symbol_and_come_back_unchanged() {
        let shared = Arc::new(Interner::new(budget(1 << 20)));
        let held = budget(1 << 20);
        let mut one = LocalInterner::new(Arc::clone(&shared), Arc::clone(&held));
        let mut two = LocalInterner::new(Arc::clone(&shared), Arc::clone(&held));
        let symbol = one.intern(b"\xff\n").unwrap();
        assert_eq!(two.intern(b"\xff\n"), Some(symbol));
        assert_ne!(two.intern(b""), Some(symbol));
        assert_eq!(&*shared.text(symbol), b"\xff\n");
        assert_eq!(shared.len(), 2);
        drop((one, two));
        assert_eq!(held.taken(), 0);
    }

    #[test]
    fn a_key_is_small() {
        assert_eq!((size_of::<InternedValue>(), size_of::<OwnedValue>()), (32, 32));
    }

    #[test]
    fn a_text_without_room_gets_no_symbol_and_those_known_keep_theirs() {
        let kept = budget(10_000);
        let shared = Arc::new(Interner::new(Arc::clone(&kept)));
        let mut local = LocalInterner::new(Arc::clone(&shared), budget(200));
        let known = local.intern(b"mysqld").unwrap();
        assert_eq!(local.intern(&[b'x'; 10_000]), None);
        let many = (0..1000_u32).filter(|number| local.intern(&number.to_le_bytes()).is_some()).count();
        assert!(many > 10 && many < 1000 && shared.len() == many + 1, "{many}");
        assert!(kept.taken() <= 10_000 && local.cache.len() * LocalInterner::COST <= 200);
        assert_eq!(local.intern(b"mysqld"), Some(known));
        assert_eq!(&*shared.text(known), b"mysqld");
    }
}
