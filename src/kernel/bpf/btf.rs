//! A reader of BTF, the kernel's description of its own types (`Documentation/bpf/btf.rst` in the kernel's source). It reads what
//! a walk needs: offsets of fields, values of enumerators, ids of functions.
//!
//! The reader checks every offset and limits every recursion. It does not panic, and allocates only a few bytes for each type.

use std::collections::HashMap;

pub use crate::kernel::bpf::field::{Member, StructField};

/// The id of a type: its index in the type section, from 1. 0 is `void`.
pub type TypeId = u32;

/// Why bytes are not valid BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header is incomplete, or has no magic number in the byte order of this machine.
    #[error("no BTF header")]
    Header,
    /// A section is outside the file.
    #[error("a section of the BTF is outside the file")]
    Sections,
    /// A type is incomplete or of an unknown kind. In either case the types after it cannot be found.
    #[error("type {id} of the BTF is incomplete or of the unknown kind {kind}")]
    Type {
        /// The id of the type.
        id: TypeId,
        /// The number of its kind.
        kind: u32,
    },
}

/// Kinds of types, with the numbers of `include/uapi/linux/btf.h`.
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

/// The header of a type.
#[derive(Debug, Clone, Copy)]
struct TypeHeader {
    name: u32,
    kind: u32,
    /// The number of members, enumerators or parameters that follow.
    count: u32,
    /// Whether the members have bit sizes, or the enumerators are signed.
    flag: bool,
    /// A size in bytes or the id of another type, depending on the kind.
    size_or_type: u32,
    /// The offset of the data after the header.
    tail: usize,
}

impl TypeHeader {
    const SIZE: usize = 12;

    /// The size of the data after the header, in bytes; `None` for an unknown kind.
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

/// The types of a kernel.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// The offset of each type in `types`; the type with id 1 is the first.
    starts: Vec<u32>,
}

impl<'a> Btf<'a> {
    const MAGIC: u16 = 0xeb9f;

    /// Finds the types in the bytes of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// Why the bytes are not valid BTF.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        // struct btf_header: magic, version, flags, hdr_len, then the offsets and lengths of the sections after it.
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
        // A type takes from 12 to some hundred bytes; 30 on average in a kernel.
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

    fn head_at(&self, at: usize) -> Option<TypeHeader> {
        let info = u32_at(self.types, at + 4)?;
        Some(TypeHeader {
            name: u32_at(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            count: info & 0xffff,
            flag: info >> 31 == 1,
            size_or_type: u32_at(self.types, at + 8)?,
            tail: at + TypeHeader::SIZE,
        })
    }

    fn head(&self, id: TypeId) -> Option<TypeHeader> {
        let start = *self.starts.get(id.checked_sub(1)? as usize)?;
        self.head_at(start as usize)
    }

    /// The name at an offset in the strings; empty past their end.
    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Whether the name at an offset in the strings is `name`.
    fn is_named(&self, offset: u32, name: &str) -> bool {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The number of types.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no types.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    fn heads(&self) -> impl Iterator<Item = (TypeId, TypeHeader)> {
        (1..).zip(&self.starts).filter_map(|(id, start)| Some((id, self.head_at(*start as usize)?)))
    }

    /// The ids of the functions with these names, without those that the kernel does not have. Takes one pass over all types.
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

    /// The values of the enumerators with these names, in any enumeration. Takes one pass over all types.
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

    /// The value of the enumerator at the offset `at`.
    fn value(&self, enumeration: &TypeHeader, at: usize) -> Option<i64> {
        let low = u32_at(self.types, at)?;
        Some(match (enumeration.kind, enumeration.flag) {
            (kind::ENUM64, _) => (u64::from(u32_at(self.types, at + 4)?) << 32 | u64::from(low)).cast_signed(),
            (_, true) => low.cast_signed().into(),
            (_, false) => low.into(),
        })
    }

    /// The structures with these names, without those that the kernel does not have. Takes one pass over all types.
    #[must_use]
    pub fn structures<'n>(&self, names: &[&'n str]) -> HashMap<&'n str, Structure<'_>> {
        let mut found = HashMap::new();
        for (_, head) in self.heads().filter(|(_, head)| head.kind == kind::STRUCT) {
            if let Some(name) = names.iter().find(|name| self.is_named(head.name, name)) {
                found.entry(*name).or_insert(Structure { btf: self, head });
            }
        }
        found
    }

    /// The type behind `typedef`, `const`, `volatile`, `restrict` and tags.
    fn resolve(&self, mut id: TypeId) -> Option<TypeHeader> {
        /// More of these than any type has. It ends cycles.
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

    /// The size of a type in bits; 0 if it has none.
    fn bits(&self, id: TypeId) -> u32 {
        /// More dimensions than any array in a kernel has.
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
    head: TypeHeader,
}

/// A member of a structure, as BTF describes it.
struct MemberEntry {
    name: u32,
    id: TypeId,
    bit_offset: u32,
    /// The size of a bit field; `None` for other members, and for bit fields in the older encoding.
    bit_size: Option<u32>,
}

impl Structure<'_> {
    /// The size in bytes.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.head.size_or_type
    }

    /// The member at the end of `path`, in which each name but the last is a member that is itself a structure. Members of unnamed
    /// structures and unions are found as in C.
    #[must_use]
    pub fn member(&self, path: &[&str]) -> Option<Member> {
        /// The largest number of members to look at, far more than any path in a kernel needs.
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

    /// The offset and size in bytes of the member at the end of `path`. See [`Structure::member`].
    #[must_use]
    pub fn field(&self, path: &[&str]) -> Option<StructField> {
        self.member(path)?.bytes()
    }

    /// The member with this name, and the bit offset of the structure that has it: this structure, or an unnamed one within it.
    fn search(&self, name: &str, base: u32, depth: u32, budget: &mut u32) -> Option<(MemberEntry, u32)> {
        /// More levels of unnamed structures than a kernel has.
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

    fn entry(&self, index: u32) -> Option<MemberEntry> {
        let at = self.head.tail + 12 * index as usize;
        let word = |place| u32_at(self.btf.types, at + place);
        let (name, id, offset) = (word(0)?, word(4)?, word(8)?);
        // If the flag is set, the upper byte of the offset is the size of a bit field, or 0 for other members.
        Some(match (self.head.flag, offset >> 24) {
            (false, _) => MemberEntry { name, id, bit_offset: offset, bit_size: None },
            (true, 0) => MemberEntry { name, id, bit_offset: offset & 0x00ff_ffff, bit_size: None },
            (true, size) => MemberEntry { name, id, bit_offset: offset & 0x00ff_ffff, bit_size: Some(size) },
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Builds BTF.
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: TypeId,
    }

    impl Builder {
        fn new() -> Self {
            Self { types: Vec::new(), strings: vec![0], count: 0 }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let offset = self.strings.len() as u32;
            self.strings.extend_from_slice(text.as_bytes());
            self.strings.push(0);
            offset
        }

        fn add(&mut self, name: &str, kind: u32, flag: bool, count: usize, size: u32, tail: &[u32]) -> TypeId {
            let name = self.string(name);
            let info = u32::from(flag) << 31 | kind << 24 | count as u32;
            for word in [name, info, size].iter().chain(tail) {
                self.types.extend_from_slice(&word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        /// Members as name, type, offset.
        fn structure(&mut self, name: &str, kind: u32, flag: bool, size: u32, members: &[(&str, u32, u32)]) -> TypeId {
            let tail: Vec<u32> =
                members.iter().flat_map(|(name, id, offset)| [self.string(name), *id, *offset]).collect();
            self.add(name, kind, flag, members.len(), size, &tail)
        }

        fn build(&self) -> Vec<u8> {
            let mut bytes = Btf::MAGIC.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0]);
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            for word in [24, 0, types, types, strings] {
                bytes.extend_from_slice(&u32::to_ne_bytes(word));
            }
            [bytes, self.types.clone(), self.strings.clone()].concat()
        }
    }

    /// A structure whose members are hard to find: unnamed structures, typedefs, qualifiers, arrays, bit fields.
    fn task() -> Vec<u8> {
        let mut b = Builder::new();
        let int = b.add("int", kind::INT, false, 0, 4, &[32]);
        let long = b.add("long", kind::INT, false, 0, 8, &[64]);
        let byte = b.add("char", kind::INT, false, 0, 1, &[8]);
        let pointer = b.add("", kind::PTR, false, 0, 0, &[]);
        let pid_t = b.add("pid_t", kind::TYPEDEF, false, 0, int, &[]);
        let volatile = b.add("", kind::VOLATILE, false, 0, pid_t, &[]);
        let comm = b.add("", kind::ARRAY, false, 0, 0, &[byte, int, 16]);
        let matrix = b.add("", kind::ARRAY, false, 0, 0, &[comm, int, 3]);
        let open = b.add("", kind::ARRAY, false, 0, 0, &[long, int, 0]);
        let info = b.structure("thread_info", kind::STRUCT, false, 16, &[("flags", long, 0), ("cpu", int, 64)]);
        let inner = b.structure("", kind::STRUCT, false, 8, &[("deep", int, 0), ("deeper", int, 32)]);
        let union = b.structure("", kind::UNION, false, 8, &[("", inner, 0), ("whole", long, 0)]);
        let named = b.structure("random", kind::STRUCT, false, 8, &[("", union, 0)]);
        b.add("forward", kind::FWD, false, 0, 0, &[]);
        b.add("x", kind::FLOAT, false, 0, 8, &[]);
        b.structure(
            "task_struct",
            kind::STRUCT,
            true,
            256,
            &[
                ("thread_info", info, 0),
                ("state", volatile, 128),
                ("", union, 192),
                ("comm", comm, 256),
                ("matrix", matrix, 384),
                ("bit", int, 1 << 24 | 771),
                ("bits", int, 8 << 24 | 776),
                ("next", pointer, 832),
                ("named", named, 896),
                ("open", open, 960),
            ],
        );
        b.add("task", kind::ENUM, true, 2, 4, &[7, u32::MAX, 12, 3]);
        let minus = b.string("MINUS");
        let plus = b.string("PLUS");
        let huge = b.string("HUGE");
        b.add("signed", kind::ENUM, true, 2, 4, &[minus, u32::MAX, plus, 3]);
        b.add("unsigned", kind::ENUM, false, 1, 4, &[plus, 9]);
        b.add("wide", kind::ENUM64, false, 1, 8, &[huge, 1, 2]);
        let proto = b.add("", kind::FUNC_PROTO, false, 1, 0, &[0, int]);
        b.add("walk", kind::FUNC, false, 1, proto, &[]);
        b.add("walk_on", kind::FUNC, false, 1, proto, &[]);
        b.add("tag", kind::DECL_TAG, false, 0, 1, &[u32::MAX]);
        b.add("v", kind::VAR, false, 0, int, &[0]);
        b.add(".data", kind::DATASEC, false, 1, 4, &[1, 0, 4]);
        b.build()
    }

    fn field(path: &[&str]) -> Option<(u32, u32)> {
        let bytes = task();
        let btf = Btf::parse(&bytes).unwrap();
        let field = btf.structures(&["task_struct"])["task_struct"].field(path)?;
        Some((field.offset, field.size))
    }

    #[test]
    fn members_are_found_as_c_finds_them() {
        assert_eq!(field(&["state"]), Some((16, 4)), "through names and qualifiers");
        assert_eq!(field(&["thread_info", "cpu"]), Some((8, 4)), "along a path");
        assert_eq!(field(&["deeper"]), Some((28, 4)), "in unnamed parts of unnamed parts");
        assert_eq!(field(&["whole"]), Some((24, 8)));
        assert_eq!(field(&["comm"]), Some((32, 16)));
        assert_eq!(field(&["matrix"]), Some((48, 48)));
        assert_eq!(field(&["next"]), Some((104, 8)));
        assert_eq!(field(&["named", "deep"]), Some((112, 4)));
        assert_eq!(field(&["nothing"]), None);
        assert_eq!(field(&["state", "x"]), None, "not a structure");
        assert_eq!(field(&[]), None);
    }

    #[test]
    fn bit_fields_have_no_place_in_bytes() {
        let bytes = task();
        let btf = Btf::parse(&bytes).unwrap();
        let task = btf.structures(&["task_struct"])["task_struct"];
        assert_eq!(task.member(&["bit"]), Some(Member { bit_offset: 771, bit_size: 1 }));
        assert_eq!(task.field(&["bit"]), None);
        assert_eq!(task.field(&["bits"]), Some(StructField { offset: 97, size: 1 }));
        assert_eq!(task.member(&["open"]), Some(Member { bit_offset: 960, bit_size: 0 }));
        assert_eq!(task.field(&["open"]), None, "an array of no stated length");
    }

    #[test]
    fn functions_and_constants_are_found_by_their_whole_names() {
        let bytes = task();
        let btf = Btf::parse(&bytes).unwrap();
        let functions = btf.functions(&["walk", "wal", "walk_on", "v"]);
        assert_eq!(functions.len(), 2);
        assert_eq!(functions["walk"] + 1, functions["walk_on"]);
        let constants = btf.enumerators(&["MINUS", "PLUS", "HUGE", "NONE"]);
        assert_eq!(constants["MINUS"], -1);
        assert_eq!(constants["PLUS"], 3, "the first of that name");
        assert_eq!(constants["HUGE"], 2 << 32 | 1);
        assert_eq!(constants.len(), 3);
        let structures = btf.structures(&["task_struct", "nothing", "walk"]);
        assert_eq!((structures.len(), structures["task_struct"].size()), (1, 256));
    }

    #[test]
    fn elements_stay_in_their_array() {
        let array = StructField { offset: 32, size: 16 };
        assert_eq!(array.element(1, 8), Some(StructField { offset: 40, size: 8 }));
        assert_eq!(array.element(2, 8), None);
        assert_eq!(array.element(u32::MAX, 8), None);
    }

    #[test]
    fn circles_and_avalanches_end() {
        let mut b = Builder::new();
        b.add("circle", kind::TYPEDEF, false, 0, 2, &[]);
        b.add("circle", kind::TYPEDEF, false, 0, 1, &[]);
        b.structure("bad", kind::STRUCT, false, 8, &[("circle", 1, 0), ("", 3, 0), ("", 3, 0), ("", 3, 0)]);
        b.add("", kind::ARRAY, false, 0, 0, &[4, 1, u32::MAX]);
        b.structure("worse", kind::STRUCT, false, 8, &[("endless", 4, u32::MAX), ("", 5, u32::MAX), ("", 5, 8)]);
        let bytes = b.build();
        let btf = Btf::parse(&bytes).unwrap();
        let structures = btf.structures(&["bad", "worse"]);
        assert_eq!(structures["bad"].field(&["circle"]), None);
        assert_eq!(structures["bad"].field(&["nothing"]), None);
        assert_eq!(structures["worse"].field(&["endless"]), None);
        assert_eq!(structures["worse"].field(&["nothing"]), None);
    }

    #[test]
    fn what_is_no_btf_is_told_apart() {
        let bytes = task();
        assert_eq!(Btf::parse(b"").unwrap_err(), BtfError::Header);
        assert_eq!(Btf::parse(b"\x7fELF and so on").unwrap_err(), BtfError::Header);
        let mut swapped = bytes.clone();
        swapped.swap(0, 1);
        assert_eq!(Btf::parse(&swapped).unwrap_err(), BtfError::Header);
        assert_eq!(Btf::parse(&bytes[..bytes.len() - 1]).unwrap_err(), BtfError::Sections);
        let mut unknown = bytes;
        unknown[24 + 7] = 31;
        assert_eq!(Btf::parse(&unknown).unwrap_err(), BtfError::Type { id: 1, kind: 31 });
    }

    /// Calls everything that reads BTF.
    fn exercise(bytes: &[u8]) {
        let Ok(btf) = Btf::parse(bytes) else { return };
        let _ = btf.functions(&["walk", "bpf_iter_task"]);
        let _ = btf.enumerators(&["MINUS", "HUGE", ""]);
        let _ = (btf.len(), btf.is_empty(), btf.head(0).is_some());
        for structure in btf.structures(&["task_struct", "thread_info", "", "pt_regs", "bad"]).values() {
            let _ = structure.size();
            for path in [&["state"][..], &["thread_info", "cpu"], &["deeper"], &["nothing"], &["", ""], &[]] {
                let _ = (structure.member(path), structure.field(path));
            }
        }
        let _ = crate::kernel::layout::KernelLayout::find(&btf);
    }

    #[test]
    fn no_truncation_of_a_small_btf_panics() {
        let bytes = task();
        (0..bytes.len()).for_each(|end| exercise(&bytes[..end]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            exercise(&bytes);
            let mut headed = task()[..24].to_vec();
            headed.extend_from_slice(&bytes);
            exercise(&headed);
        }

        #[test]
        fn no_mutation_of_a_small_btf_panics(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
            let mut bytes = task();
            for (place, byte) in changes {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            exercise(&bytes);
        }
    }

    #[test]
    fn no_damage_to_the_running_kernels_btf_panics() {
        let Ok(whole) = std::fs::read(crate::kernel::BTF_PATH) else {
            eprintln!("skipped: this kernel has no {}", crate::kernel::BTF_PATH);
            return;
        };
        exercise(&whole);
        for part in 0..24 {
            exercise(&whole[..whole.len() / 24 * part + part]);
        }
        // A simple generator, so that each run damages the same bytes.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..24 {
            let mut bytes = whole.clone();
            for _ in 0..200 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let place = (random >> 16) as usize % bytes.len();
                bytes[place] = (random >> 8) as u8;
            }
            exercise(&bytes);
        }
    }
}
