//! Names of the kernel's functions, from `/proc/kallsyms`, and the texts of kernel stacks.
//!
//! A stack has the text that [`crate::proc::parse::stack`] makes of `/proc/PID/stack`. Each address is looked up once and each
//! stack is rendered once, because most threads wait in few places.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use foldhash::fast::RandomState;

use crate::proc::ProcRoot;
use crate::proc::parse::stack::{is_entry_frame, is_scheduler_frame};
use crate::text::sentence::shown;

/// Where in the proc root the kernel lists its symbols.
const LIST: &CStr = c"kallsyms";

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
pub enum SymbolsError {
    /// The list cannot be read.
    #[error("{path}: {error}", path = shown(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of reading it.
        error: io::Error,
    },
    /// All addresses are 0, because the kernel hides them.
    #[error(
        "the kernel hides its addresses from psn: run it as root, and set the sysctl kernel.kptr_restrict to 0 or 1"
    )]
    Hidden,
    /// The list is empty, or is not a list of symbols.
    #[error("no kernel symbols in the list")]
    Empty,
}

/// A range of bytes in an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TextRange {
    start: u32,
    length: u32,
}

impl TextRange {
    fn of(self, arena: &[u8]) -> &[u8] {
        let start = self.start as usize;
        arena.get(start..start + self.length as usize).unwrap_or_default()
    }

    /// The bytes that were appended to `arena` since it was `start` bytes long; `None` past 4 GiB.
    fn since(arena: &[u8], start: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, length: u32::try_from(arena.len() - start).ok()? })
    }
}

/// A symbol: a function with its name, or data without a name, which ends the function before it.
#[derive(Debug, Clone, Copy)]
struct KernelSymbol {
    address: u64,
    name: Option<TextRange>,
}

/// A return address that was looked up.
#[derive(Debug, Clone, Copy)]
struct Frame {
    name: TextRange,
    is_entry: bool,
    is_scheduler: bool,
}

/// The kernel's functions, by address.
#[derive(Debug)]
pub struct Symbols {
    symbols: Vec<KernelSymbol>,
    names: Vec<u8>,
    /// The length of `names` before texts for addresses without a symbol were appended.
    loaded: usize,
    frames: HashMap<u64, Frame, RandomState>,
    stacks: HashMap<Box<[u64]>, TextRange, RandomState>,
    texts: Vec<u8>,
}

impl Symbols {
    /// The most addresses, and the most stacks, that are remembered: far more than any kernel has shown. When there are more, all
    /// are forgotten.
    const MAX_REMEMBERED: usize = 1 << 16;
    /// The most bytes of a function. An address further from its symbol belongs to code that was loaded after the list was read.
    const MAX_FUNCTION_BYTES: u64 = 1 << 20;

    /// Reads `kallsyms` in `root`, which takes some tenths of a second.
    ///
    /// # Errors
    /// Why there are no names.
    pub fn load(root: &ProcRoot) -> Result<Self, SymbolsError> {
        let unreadable = unreadable(root);
        Self::read(&mut open(root)?).map_err(unreadable)?.finish()
    }

    /// Checks at the beginning of `kallsyms` in `root` whether it has names.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn are_shown(root: &ProcRoot) -> Result<(), SymbolsError> {
        let (list, unreadable) = (open(root)?, unreadable(root));
        let mut error = SymbolsError::Empty;
        for line in list.split(b'\n') {
            match parse_line(&line.map_err(&unreadable)?) {
                // The first symbols are offsets, and 0 even if nothing is hidden.
                Some((0, ..)) => error = SymbolsError::Hidden,
                Some(_) => return Ok(()),
                None => {}
            }
        }
        Err(error)
    }

    /// Reads the text of a list: lines of `address type name [module]`.
    ///
    /// # Errors
    /// Why it has no names.
    pub fn parse(text: &[u8]) -> Result<Self, SymbolsError> {
        let mut text = text;
        Self::read(&mut text).map_err(|_| SymbolsError::Empty)?.finish()
    }

    /// Reads the list line by line, because it is long and little of it is kept.
    fn read(list: &mut dyn BufRead) -> io::Result<Self> {
        let mut all = Self {
            symbols: Vec::new(),
            names: Vec::new(),
            loaded: 0,
            frames: HashMap::default(),
            stacks: HashMap::default(),
            texts: Vec::new(),
        };
        let mut line = Vec::new();
        while list.read_until(b'\n', &mut line)? > 0 {
            all.add(line.strip_suffix(b"\n").unwrap_or(&line));
            line.clear();
        }
        Ok(all)
    }

    fn add(&mut self, line: &[u8]) {
        let Some((address, kind, name)) = parse_line(line) else { return };
        let is_code = matches!(kind, b't' | b'T' | b'w' | b'W');
        let name = is_code.then(|| append(&mut self.names, name)).flatten();
        self.symbols.push(KernelSymbol { address, name });
    }

    fn finish(mut self) -> Result<Self, SymbolsError> {
        if self.symbols.is_empty() {
            return Err(SymbolsError::Empty);
        }
        if self.symbols.iter().all(|symbol| symbol.address == 0) {
            return Err(SymbolsError::Hidden);
        }
        // Of several symbols at one address the kernel shows the first. The sort keeps their order.
        self.symbols.sort_by_key(|symbol| symbol.address);
        self.symbols.dedup_by_key(|symbol| symbol.address);
        // Of a run of data symbols the first suffices: it ends the function before it.
        self.symbols.dedup_by(|later, earlier| later.name.is_none() && earlier.name.is_none());
        self.symbols.shrink_to_fit();
        self.names.shrink_to_fit();
        self.loaded = self.names.len();
        Ok(self)
    }

    /// The name of the function that a return address lies in; the address itself as `0x…` if it lies in none.
    pub fn name(&mut self, return_address: u64) -> &[u8] {
        let frame = self.frame(return_address);
        frame.name.of(&self.names)
    }

    /// The function in which a task with this stack sleeps: the innermost one that is not part of the scheduler. `frames` has the
    /// innermost frame first.
    pub fn wait_channel(&mut self, frames: &[u64]) -> Option<&[u8]> {
        let frame = frames.iter().map(|address| self.frame(*address)).find(|frame| !frame.is_scheduler)?;
        Some(frame.name.of(&self.names))
    }

    /// The text of a stack: `vfs_read()->pipe_read()`, outermost frame first, without entry frames; `-` if no other frame is left.
    /// `frames` has the innermost first.
    pub fn stack(&mut self, frames: &[u64]) -> &[u8] {
        if let Some(range) = self.stacks.get(frames) {
            return range.of(&self.texts);
        }
        if self.stacks.len() >= Self::MAX_REMEMBERED {
            self.stacks.clear();
            self.texts.clear();
        }
        let start = self.texts.len();
        self.render(frames);
        let Some(range) = TextRange::since(&self.texts, start) else { return b"-" };
        self.stacks.insert(frames.into(), range);
        range.of(&self.texts)
    }

    fn render(&mut self, frames: &[u64]) {
        let start = self.texts.len();
        for address in frames.iter().rev() {
            let frame = self.frame(*address);
            if frame.is_entry {
                continue;
            }
            if self.texts.len() > start {
                self.texts.extend_from_slice(b"->");
            }
            self.texts.extend_from_slice(frame.name.of(&self.names));
            self.texts.extend_from_slice(b"()");
        }
        if self.texts.len() == start {
            self.texts.push(b'-');
        }
    }

    fn frame(&mut self, return_address: u64) -> Frame {
        if let Some(frame) = self.frames.get(&return_address) {
            return *frame;
        }
        if self.frames.len() >= Self::MAX_REMEMBERED {
            self.frames.clear();
            self.names.truncate(self.loaded);
        }
        let name =
            self.find(return_address).or_else(|| append(&mut self.names, format!("{return_address:#x}").as_bytes()));
        let name = name.unwrap_or(TextRange { start: 0, length: 0 });
        let text = name.of(&self.names);
        let frame = Frame { name, is_entry: is_entry_frame(text), is_scheduler: is_scheduler_frame(text) };
        self.frames.insert(return_address, frame);
        frame
    }

    /// The name of the function in which the byte before a return address lies. If a call is the last instruction of its function,
    /// the return address is the start of the next function. The kernel does the same (`%pB`).
    fn find(&self, return_address: u64) -> Option<TextRange> {
        let address = return_address.checked_sub(1)?;
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols.get(after.checked_sub(1)?)?;
        symbol.name.filter(|_| address - symbol.address < Self::MAX_FUNCTION_BYTES)
    }
}

fn open(root: &ProcRoot) -> Result<BufReader<File>, SymbolsError> {
    root.open_host(LIST).map(BufReader::new).map_err(unreadable(root))
}

fn unreadable(root: &ProcRoot) -> impl Fn(io::Error) -> SymbolsError {
    |error| SymbolsError::Unreadable { path: root.path().join("kallsyms"), error }
}

fn append(arena: &mut Vec<u8>, bytes: &[u8]) -> Option<TextRange> {
    let start = arena.len();
    arena.extend_from_slice(bytes);
    TextRange::since(arena, start)
}

/// Address, type and name in a line `ffffffff81000000 T name`, which may end in a tab and `[module]`.
fn parse_line(line: &[u8]) -> Option<(u64, u8, &[u8])> {
    let end = memchr::memchr(b' ', line)?;
    let (address, rest) = line.split_at_checked(end)?;
    let address = u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()?;
    let [b' ', kind, b' ', name @ ..] = rest else { return None };
    let end = memchr::memchr2(b'\t', b' ', name).unwrap_or(name.len());
    Some((address, *kind, name.get(..end).filter(|name| !name.is_empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000000 T first
ffffffff81000100 t entry_SYSCALL_64_after_hwframe
ffffffff81000200 T schedule
ffffffff81000300 T ksys_read
ffffffff81000400 t vfs_read.isra.0
ffffffff81000500 D some_data
ffffffff81000600 d more_data
ffffffffc0000000 t pipe_read\t[pipes]
ffffffffc0000100 t bpf_prog_1 [bpf]
";

    fn symbols() -> Symbols {
        Symbols::parse(LIST).unwrap()
    }

    #[test]
    fn an_address_is_named_after_the_function_around_it() {
        let mut symbols = symbols();
        assert_eq!(symbols.name(0xffff_ffff_8100_0080), b"_text", "the first of several");
        assert_eq!(symbols.name(0xffff_ffff_8100_0400), b"ksys_read", "a call at the very end");
        assert_eq!(symbols.name(0xffff_ffff_8100_0401), b"vfs_read.isra.0");
        assert_eq!(symbols.name(0xffff_ffff_c000_0010), b"pipe_read", "of a module");
        assert_eq!(symbols.name(0xffff_ffff_c000_0110), b"bpf_prog_1", "of a program");
    }

    #[test]
    fn an_address_outside_of_all_code_stays_one() {
        let mut symbols = symbols();
        for address in [0_u64, 1, 0x1000, 0xffff_ffff_8100_0580, 0xffff_ffff_8100_0601, u64::MAX] {
            assert_eq!(symbols.name(address), format!("{address:#x}").as_bytes());
        }
    }

    #[test]
    fn stacks_read_as_those_of_proc() {
        let mut symbols = symbols();
        let frames =
            [0x8100_0210, 0xc000_0010, 0x8100_0410, 0x8100_0310, 0x8100_0110].map(|low| 0xffff_ffff_0000_0000 | low);
        let text = b"[<0>] schedule+0x10/0x100\n[<0>] pipe_read+0x10/0x100 [pipes]\n[<0>] vfs_read.isra.0+0x10/0x100\n\
            [<0>] ksys_read+0x10/0x100\n[<0>] entry_SYSCALL_64_after_hwframe+0x10/0x100\n";
        let mut expected = Vec::new();
        crate::proc::parse::stack::render(text, &mut expected);
        for _ in 0..2 {
            assert_eq!(symbols.stack(&frames).escape_ascii().to_string(), expected.escape_ascii().to_string());
            assert_eq!(symbols.wait_channel(&frames), crate::proc::parse::stack::wait_channel(text));
        }
        assert_eq!(symbols.stack(&frames[4..]), b"-");
        assert_eq!(symbols.stack(&[]), b"-");
        assert_eq!(symbols.wait_channel(&frames[..1]), None);
        assert_eq!(symbols.wait_channel(&[]), None);
    }

    #[test]
    fn hidden_addresses_are_told_from_no_list() {
        let hidden = Symbols::parse(b"0000000000000000 T a\n0000000000000000 t b\t[m]\n");
        assert!(matches!(hidden, Err(SymbolsError::Hidden)));
        assert!(hidden.unwrap_err().to_string().contains("kptr_restrict"));
        for text in [&b""[..], b"\n\n", b"x T a\n", b"0 T\n", b"0 T \n", b"ffffffffffffffffff T a\n", b"12 TT a\n"] {
            assert!(matches!(Symbols::parse(text), Err(SymbolsError::Empty)), "{}", text.escape_ascii());
        }
        let dir = std::env::temp_dir().join(format!("psn-symbols-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let root = ProcRoot::open(&dir).unwrap();
        assert!(matches!(Symbols::load(&root), Err(SymbolsError::Unreadable { .. })));
        assert!(matches!(Symbols::are_shown(&root), Err(SymbolsError::Unreadable { .. })));
        std::fs::write(dir.join("kallsyms"), "").unwrap();
        assert!(matches!(Symbols::are_shown(&root), Err(SymbolsError::Empty)));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let mut symbols = symbols();
        for address in 0..3 * Symbols::MAX_REMEMBERED as u64 {
            let expected = format!("{address:#x}()");
            assert_eq!(symbols.stack(&[address]), expected.as_bytes());
        }
        assert!(symbols.frames.len() <= Symbols::MAX_REMEMBERED && symbols.stacks.len() <= Symbols::MAX_REMEMBERED);
        assert!(symbols.names.len() < 16 * Symbols::MAX_REMEMBERED);
        assert_eq!(symbols.name(0xffff_ffff_8100_0401), b"vfs_read.isra.0");
    }
}
