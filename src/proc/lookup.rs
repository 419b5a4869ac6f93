//! Tables with an entry for every possible key, so that each lookup succeeds.
#![expect(clippy::indexing_slicing, reason = "each table is as long as its key has values")]

use std::ops::{Index, IndexMut};

use crate::proc::source::Source;

/// A table with an entry for every byte, such as a state letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerByte<T>([T; 256]);

impl<T: Copy> PerByte<T> {
    /// A table whose entries are all `value`.
    pub(crate) const fn filled(value: T) -> Self {
        Self([value; 256])
    }

    /// The entry of `byte`.
    #[inline]
    pub const fn at(&self, byte: u8) -> T {
        self.0[byte as usize]
    }

    /// The entry of `byte`, mutable.
    #[inline]
    pub(crate) const fn at_mut(&mut self, byte: u8) -> &mut T {
        &mut self.0[byte as usize]
    }

    /// The entries with their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u8, T)> {
        (0..=u8::MAX).zip(self.0)
    }
}

/// A table with an entry for every source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerSource<T>([T; Source::COUNT]);

impl<T> PerSource<T> {
    /// A table whose entries `make` returns.
    pub(crate) fn from_fn(mut make: impl FnMut() -> T) -> Self {
        Self(std::array::from_fn(|_| make()))
    }

    /// The entries with their sources, cheapest first.
    pub fn iter(&self) -> impl Iterator<Item = (Source, &T)> {
        Source::ALL.into_iter().zip(&self.0)
    }

    /// The entries with their sources, mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Source, &mut T)> {
        Source::ALL.into_iter().zip(&mut self.0)
    }
}

impl<T: Default> Default for PerSource<T> {
    fn default() -> Self {
        Self::from_fn(T::default)
    }
}

impl<T> Index<Source> for PerSource<T> {
    type Output = T;

    #[inline]
    fn index(&self, source: Source) -> &T {
        &self.0[source as usize]
    }
}

impl<T> IndexMut<Source> for PerSource<T> {
    #[inline]
    fn index_mut(&mut self, source: Source) -> &mut T {
        &mut self.0[source as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_entry_of_its_own() {
        let mut letters = PerByte::filled(0);
        for byte in 0..=u8::MAX {
            *letters.at_mut(byte) = u32::from(byte);
        }
        assert!(letters.iter().all(|(byte, value)| u32::from(byte) == value));
        let mut sources = PerSource::<Option<Source>>::default();
        for source in Source::ALL {
            sources[source] = Some(source);
        }
        assert!(sources.iter().all(|(source, value)| *value == Some(source)));
    }
}
