//! The control map: what psn tells the program, and what the program counts. Offsets in bytes.

/// Bytes of records written, which is where the next record goes.
pub const USED: i32 = 0;
/// Tasks that passed the gate and found no room for a record.
pub const MISSED: i32 = 8;
/// One bit for each state, by the state's number: set for the states that pass.
pub const GATE: i32 = 16;
/// The bits of a thread id that are compared with [`SLICE`].
pub const SLICE_MASK: i32 = 24;
/// The value that those bits must have.
pub const SLICE: i32 = 32;
/// The address of the PID namespace whose ids are wanted.
pub const NAMESPACE: i32 = 40;
/// The depth of psn's own PID namespace.
pub const LEVEL: i32 = 48;
/// `CLOCK_MONOTONIC` less the time at which psn was last put on a CPU, by the scheduler's clock; 0 until it is noted.
pub const APART: i32 = 56;
/// Tasks seen in each state: one word for each state number.
pub const COUNTS: i32 = 64;
/// The number of those words, a power of two.
pub const COUNTS_LEN: i32 = 16;
/// The state's number for each combination of state bits: one byte each.
pub const STATES: i32 = COUNTS + 8 * COUNTS_LEN;
/// The number of those bytes, a power of two.
pub const STATES_LEN: i32 = 256;
/// The size of the map.
pub const SIZE: usize = (STATES + STATES_LEN) as usize;
