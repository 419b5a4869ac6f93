//! BTF, the kernel's description of its own types (`Documentation/bpf/btf.rst` in the kernel's source), as far as a walk
//! needs it: where a field of a structure lies, what an enumerator's value is, which id a function has.
//!
//! A pure reader over bytes. It trusts none of them: every offset is checked, every recursion has a budget, and nothing
//! panics or allocates more than a few bytes a type.

use std::collections::HashMap;

/// The id of a type: its place in the type section, from 1. 0 is `void`.
pub type TypeId = u32;

/// Why bytes are no BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header is cut, or its magic number is not that of this machine's byte order.
    #[error("no BTF header")]
    Header,
    /// A section lies outside the file.
    #[error("a section of the BTF lies outside the file")]
    Sections,
    /// A type is cut, or of a kind that this version has never heard of and can not step over.
    #[error("type {id} of the BTF is cut or of unknown kind {kind}")]
    Type {
        /// The type.
        id: TypeId,
        /// The kind it says it is.
        kind: u32,
    },
}

/// Kinds of types, by the numbers of `include/uapi/linux/btf.h`.
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// Where a member lies in its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From the start of the outermost structure.
    pub bit_offset: u32,
    /// 0 where the type has no size.
    pub bit_size: u32,
}

impl Member {
    /// The member's place in bytes; none for a bit field.
    #[must_use]
    pub const fn bytes(self) -> Option<Field> {
        if self.bit_offset.is_multiple_of(8) && self.bit_size.is_multiple_of(8) && self.bit_size > 0 {
            Some(Field { offset: self.bit_offset / 8, size: self.bit_size / 8 })
        } else {
            None
        }
    }
}

/// A place in a structure, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// From the start of the structure.
    pub offset: u32,
    /// Of the whole field: all elements of an array.
    pub size: u32,
}

impl Field {
    /// The element at `index` of an array of elements of `size` bytes; none outside the array.
    #[must_use]
    pub const fn element(self, index: u32, size: u32) -> Option<Self> {
        let Some(offset) = index.checked_mul(size) else { return None };
        match offset.checked_add(size) {
            Some(end) if end <= self.size => Some(Self { offset: self.offset + offset, size }),
            _ => None,
        }
    }
}

/// A type's fixed part: name, kind, and the word whose meaning depends on the kind.
#[derive(Debug, Clone, Copy)]
struct Head {
    name: u32,
    kind: u32,
    /// How many members, enumerators or parameters follow.
    count: u32,
    /// Whether members carry bit sizes, or enumerators a sign.
    flag: bool,
    /// A size in bytes, or another type's id.
    size_or_type: u32,
    /// Where what follows the fixed part starts.
    tail: usize,
}

impl Head {
    const SIZE: usize = 12;

    /// The length of what follows; none for an unknown kind.
    fn tail_size(&self) -> Option<usize> {
        let each = match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => return Some(4),
            kind::ARRAY => return Some(12),
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12,
            kind::ENUM | kind::FUNC_PROTO => 8,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => return Some(0),
            _ => return None,
        };
        Some(each * self.count as usize)
    }
}

/// A kernel's types.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts, by id less 1.
    starts: Vec<u32>,
}

impl<'a> Btf<'a> {
    const MAGIC: u16 = 0xeb9f;

    /// Finds the types in the bytes of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        // struct btf_header: magic, version, flags, hdr_len; then offsets and lengths after the header.
        let magic = u16::from_ne_bytes(array(bytes, 0).ok_or(BtfError::Header)?);
        if magic != Self::MAGIC {
            return Err(BtfError::Header);
        }
        let word = |at| u32_at(bytes, at).ok_or(BtfError::Header);
        let header = word(4)?;
        let section = |offset: u32, length: u32| {
            let start = (header as usize).checked_add(offset as usize)?;
            bytes.get(start..start.checked_add(length as usize)?)
        };
        let types = section(word(8)?, word(12)?).ok_or(BtfError::Sections)?;
        let strings = section(word(16)?, word(20)?).ok_or(BtfError::Sections)?;
        let mut btf = Self { types, strings, starts: Vec::new() };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        // A type takes 12 to some hundred bytes; in a kernel 30 on average.
        self.starts.reserve(self.types.len() / 24);
        let mut at = 0;
        while at < self.types.len() {
            let id = TypeId::try_from(self.starts.len() + 1).unwrap_or(TypeId::MAX);
            let head = self.head_at(at).ok_or(BtfError::Type { id, kind: 0 })?;
            let error = BtfError::Type { id, kind: head.kind };
            let end = head.tail_size().and_then(|size| head.tail.checked_add(size)).ok_or(error)?;
            if end > self.types.len() {
                return Err(error);
            }
            self.starts.push(u32::try_from(at).map_err(|_| error)?);
            at = end;
        }
        Ok(())
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let info = u32_at(self.types, at + 4)?;
        Some(Head {
            name: u32_at(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            count: info & 0xffff,
            flag: info >> 31 == 1,
            size_or_type: u32_at(self.types, at + 8)?,
            tail: at + Head::SIZE,
        })
    }

    fn head(&self, id: TypeId) -> Option<Head> {
        let start = *self.starts.get(id.checked_sub(1)? as usize)?;
        self.head_at(start as usize)
    }

    /// The name at an offset into the strings; empty where there is none.
    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Whether the name at an offset into the strings is this one.
    fn is_named(&self, offset: u32, name: &str) -> bool {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The number of types.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no types at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    fn heads(&self) -> impl Iterator<Item = (TypeId, Head)> {
        (1..).zip(&self.starts).filter_map(|(id, start)| Some((id, self.head_at(*start as usize)?)))
    }

    fn find(&self, kind: u32, name: &str) -> Option<(TypeId, Head)> {
        self.heads().find(|(_, head)| head.kind == kind && self.is_named(head.name, name))
    }

    /// The ids of the kernel's functions of these names, found in one go; those it does not have are absent.
    #[must_use]
    pub fn functions<'n>(&self, names: &[&'n str]) -> HashMap<&'n str, TypeId> {
        let mut found = HashMap::new();
        for (id, head) in self.heads().filter(|(_, head)| head.kind == kind::FUNC) {
            if let Some(name) = names.iter().find(|name| self.is_named(head.name, name)) {
                found.entry(*name).or_insert(id);
            }
        }
        found
    }

    /// The values of the enumerators of these names, whichever enumerations they are of, found in one go.
    #[must_use]
    pub fn enumerators<'n>(&self, names: &[&'n str]) -> HashMap<&'n str, i64> {
        let mut found = HashMap::new();
        for (_, head) in self.heads() {
            let size = match head.kind {
                kind::ENUM => 8,
                kind::ENUM64 => 12,
                _ => continue,
            };
            for at in (head.tail..).step_by(size).take(head.count as usize) {
                let Some(name) = u32_at(self.types, at) else { break };
                if let Some(name) = names.iter().find(|wanted| self.is_named(name, wanted))
                    && let Some(value) = self.value(&head, at + 4)
                {
                    found.entry(*name).or_insert(value);
                }
            }
        }
        found
    }

    /// The value at `at` of an enumeration.
    fn value(&self, enumeration: &Head, at: usize) -> Option<i64> {
        let low = u32_at(self.types, at)?;
        Some(match (enumeration.kind, enumeration.flag) {
            (kind::ENUM64, _) => (u64::from(u32_at(self.types, at + 4)?) << 32 | u64::from(low)).cast_signed(),
            (_, true) => low.cast_signed().into(),
            (_, false) => low.into(),
        })
    }

    /// The size in bytes of a structure.
    #[must_use]
    pub fn size_of(&self, structure: &str) -> Option<u32> {
        Some(self.find(kind::STRUCT, structure)?.1.size_or_type)
    }

    /// A structure whose members can be asked for.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<Structure<'_>> {
        Some(Structure { btf: self, head: self.find(kind::STRUCT, name)?.1 })
    }

    /// Steps over names and qualifiers: `typedef`, `const`, `volatile`, tags.
    fn resolve(&self, mut id: TypeId) -> Option<Head> {
        /// More in a row than any program has; a circle ends here.
        const DEPTH: usize = 32;
        for _ in 0..DEPTH {
            let head = self.head(id)?;
            match head.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = head.size_or_type;
                }
                _ => return Some(head),
            }
        }
        None
    }

    /// The size of a type in bits; 0 where it has none.
    fn bits(&self, id: TypeId) -> u32 {
        /// Dimensions of an array, and more.
        const DEPTH: usize = 8;
        let (mut id, mut elements) = (id, 1_u32);
        for _ in 0..DEPTH {
            let Some(head) = self.resolve(id) else { return 0 };
            let bytes = match head.kind {
                kind::PTR => 8,
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT => head.size_or_type,
                kind::ARRAY => {
                    let (Some(element), Some(count)) =
                        (u32_at(self.types, head.tail), u32_at(self.types, head.tail + 8))
                    else {
                        return 0;
                    };
                    id = element;
                    elements = elements.saturating_mul(count);
                    continue;
                }
                _ => 0,
            };
            return bytes.saturating_mul(8).checked_mul(elements).unwrap_or(0);
        }
        0
    }
}

/// A structure or union.
#[derive(Debug, Clone, Copy)]
pub struct Structure<'a> {
    btf: &'a Btf<'a>,
    head: Head,
}

/// One entry of a structure.
struct Entry {
    name: u32,
    id: TypeId,
    bit_offset: u32,
    /// For a bit field that says so.
    bit_size: Option<u32>,
}

impl Structure<'_> {
    /// The member at the end of `path`; each name but the last is of a structure within. Members of unnamed structures and
    /// unions are found as C finds them.
    #[must_use]
    pub fn member(&self, path: &[&str]) -> Option<Member> {
        /// Entries looked at, in all: far more than any path of a kernel needs.
        const BUDGET: u32 = 65_536;
        let (name, rest) = path.split_first()?;
        let mut budget = BUDGET;
        let (entry, base) = self.search(name, 0, 0, &mut budget)?;
        let bit_offset = base.checked_add(entry.bit_offset)?;
        if rest.is_empty() {
            let bit_size = entry.bit_size.unwrap_or_else(|| self.btf.bits(entry.id));
            return Some(Member { bit_offset, bit_size });
        }
        let inner = self.inner(entry.id)?.member(rest)?;
        Some(Member { bit_offset: bit_offset.checked_add(inner.bit_offset)?, ..inner })
    }

    /// The place in bytes of the member at the end of `path`.
    #[must_use]
    pub fn field(&self, path: &[&str]) -> Option<Field> {
        self.member(path)?.bytes()
    }

    /// The entry of this name here or in unnamed structures, and the bits before the one that has it.
    fn search(&self, name: &str, base: u32, depth: u32, budget: &mut u32) -> Option<(Entry, u32)> {
        /// Unnamed structures within each other.
        const DEPTH: u32 = 16;
        for index in 0..self.head.count {
            *budget = budget.checked_sub(1)?;
            let entry = self.entry(index)?;
            if self.btf.is_named(entry.name, name) {
                return Some((entry, base));
            }
            if self.btf.name(entry.name).is_empty()
                && depth < DEPTH
                && let Some(inner) = self.inner(entry.id)
                && let Some(found) = inner.search(name, base.checked_add(entry.bit_offset)?, depth + 1, budget)
            {
                return Some(found);
            }
        }
        None
    }

    fn inner(&self, id: TypeId) -> Option<Self> {
        let head = self.btf.resolve(id)?;
        matches!(head.kind, kind::STRUCT | kind::UNION).then_some(Self { btf: self.btf, head })
    }

    fn entry(&self, index: u32) -> Option<Entry> {
        let at = self.head.tail + 12 * index as usize;
        let word = |place| u32_at(self.btf.types, at + place);
        let (name, id, offset) = (word(0)?, word(4)?, word(8)?);
        // With the flag set the offset's upper byte is the size of a bit field, 0 for any other member.
        Some(match (self.head.flag, offset >> 24) {
            (false, _) => Entry { name, id, bit_offset: offset, bit_size: None },
            (true, 0) => Entry { name, id, bit_offset: offset & 0x00ff_ffff, bit_size: None },
            (true, size) => Entry { name, id, bit_offset: offset & 0x00ff_ffff, bit_size: Some(size) },
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}
