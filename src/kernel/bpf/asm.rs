//! A small assembler for BPF: registers, memory operands, labels, and a method for each instruction that a walk needs.
//!
//! The instruction set is 64-bit, with ten registers and a frame of 512 bytes (`Documentation/bpf/standardization` in the
//! kernel's source). An instruction is 8 bytes: operation, registers, a 16-bit offset and a 32-bit constant. Loading a 64-bit
//! constant takes two. By convention a call takes its arguments in `R1` to `R5`, clobbers these, returns its result in `R0` and
//! preserves `R6` to `R9`. `Frame` is the read-only frame pointer.
//!
//! Each method appends one or a few instructions. [`Code::finish`] turns labels into jump distances.

use crate::kernel::bpf::btf::TypeId;
pub(crate) use crate::kernel::bpf::operand::{MemoryOperand, Register, ValueOperand, Width};

/// Operations of 64-bit arithmetic, by their numbers in the instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Arithmetic {
    Add = 0x00,
    Subtract = 0x10,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// The condition of a jump. Numbers are unsigned unless stated otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum When {
    /// `==`
    Equal = 0x10,
    /// `>`
    Above = 0x20,
    /// `a & b`: the operands have a common bit
    AnyBit = 0x40,
    /// `!=`
    NotEqual = 0x50,
    /// `<`, of signed numbers
    Negative = 0xc0,
}

/// The name of a jump target.
pub type Label = &'static str;

/// The kernel's helper functions that walks call, with the numbers of `include/uapi/linux/bpf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Helper {
    /// `u64 bpf_ktime_get_ns(void)`: `CLOCK_MONOTONIC`
    KtimeGetNs = 5,
    /// `long bpf_probe_read_kernel(void *to, u32 size, const void *from)`
    ProbeReadKernel = 113,
    /// `long bpf_get_task_stack(struct task_struct *, void *buffer, u32 size, u64 flags)`: bytes written
    GetTaskStack = 141,
    /// `struct task_struct *bpf_get_current_task_btf(void)`
    GetCurrentTaskBtf = 158,
    /// `struct pt_regs *bpf_task_pt_regs(struct task_struct *)`
    TaskPtRegs = 175,
}

/// Why a program cannot be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsmError {
    /// A jump goes to a label that does not exist or is too far away.
    #[error("no label '{0}' within reach")]
    Label(Label),
    /// A label is used twice.
    #[error("two labels '{0}'")]
    Twice(Label),
    /// A field is too far from the start of its structure for an instruction, or is not 1, 2, 4 or 8 bytes wide.
    #[error("instruction {0}: the field at offset {1} cannot be reached")]
    FieldOutOfReach(usize, i64),
}

/// Operation classes and modes, by the numbers of `include/uapi/linux/bpf_common.h` and `bpf.h`.
mod class {
    pub(crate) const LOAD_CONSTANT: u8 = 0x00;
    pub(crate) const LOAD: u8 = 0x01;
    pub(crate) const STORE: u8 = 0x03;
    pub(crate) const JUMP: u8 = 0x05;
    pub(crate) const ALU64: u8 = 0x07;
    /// Addressing mode of all loads and stores here: base and offset.
    pub(crate) const MEMORY: u8 = 0x60;
    /// The second operand is a register.
    pub(crate) const REGISTER: u8 = 0x08;
    pub(crate) const CALL: u8 = 0x80;
    pub(crate) const EXIT: u8 = 0x90;
}

/// The meaning of the source register field in instructions without a source register.
mod pseudo {
    /// The constant is the descriptor of a map. The result is the address of the first value in the map.
    pub(crate) const MAP_VALUE: u8 = 2;
    /// The constant is the BTF id of a kernel function.
    pub(crate) const KERNEL_FUNCTION: u8 = 2;
}

/// A program that is being assembled.
#[derive(Debug, Default)]
pub struct Code {
    instructions: Vec<Instruction>,
    labels: Vec<(Label, usize)>,
    jumps: Vec<(Label, usize)>,
    error: Option<AsmError>,
}

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Instruction {
    operation: u8,
    to: u8,
    from: u8,
    offset: i16,
    constant: i32,
}

impl Instruction {
    /// The instruction as the kernel reads it.
    fn encode(self) -> u64 {
        let registers =
            if cfg!(target_endian = "little") { self.from << 4 | self.to } else { self.to << 4 | self.from };
        let [offset_0, offset_1] = self.offset.to_ne_bytes();
        let [c0, c1, c2, c3] = self.constant.to_ne_bytes();
        u64::from_ne_bytes([self.operation, registers, offset_0, offset_1, c0, c1, c2, c3])
    }
}

impl Code {
    /// An empty program.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets a label at the current position.
    pub(crate) fn label(&mut self, label: Label) {
        if self.labels.iter().any(|(known, _)| *known == label) {
            self.error.get_or_insert(AsmError::Twice(label));
        }
        self.labels.push((label, self.instructions.len()));
    }

    /// `to = *(place)`
    pub(crate) fn load(&mut self, to: Register, from: MemoryOperand) {
        let (offset, width) = self.resolve(from);
        let operation = class::LOAD | class::MEMORY | width as u8;
        self.push(Instruction { operation, to: to as u8, from: from.base as u8, offset, constant: 0 });
    }

    /// `*(place) = from`
    pub(crate) fn store(&mut self, to: MemoryOperand, from: Register) {
        let (offset, width) = self.resolve(to);
        let operation = class::STORE | class::MEMORY | width as u8;
        self.push(Instruction { operation, to: to.base as u8, from: from as u8, offset, constant: 0 });
    }

    /// `*(to) = *(from)`, through `R1`
    pub(crate) fn copy(&mut self, to: MemoryOperand, from: MemoryOperand) {
        self.load(Register::R1, from);
        self.store(to, Register::R1);
    }

    /// `*(to) = 0`, through `R2`
    pub(crate) fn clear(&mut self, to: MemoryOperand) {
        self.set(Register::R2, 0);
        self.store(to, Register::R2);
    }

    /// `to = operand`
    pub(crate) fn set(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::Move, to, operand.into());
    }

    /// `to += operand`
    pub(crate) fn add(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::Add, to, operand.into());
    }

    /// `to -= operand`
    pub(crate) fn subtract(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::Subtract, to, operand.into());
    }

    /// `to |= operand`
    pub(crate) fn or(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::Or, to, operand.into());
    }

    /// `to &= operand`
    pub(crate) fn and(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::And, to, operand.into());
    }

    /// `to <<= operand`
    pub(crate) fn shift_left(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::ShiftLeft, to, operand.into());
    }

    /// `to >>= operand`, filling with zeros
    pub(crate) fn shift_right(&mut self, to: Register, operand: impl Into<ValueOperand>) {
        self.arithmetic(Arithmetic::ShiftRight, to, operand.into());
    }

    /// `to = &map[0]`, where `map` is the descriptor of an array map
    pub(crate) fn set_map_value(&mut self, to: Register, map: i32) {
        let operation = class::LOAD_CONSTANT | Width::U64 as u8;
        self.push(Instruction { operation, to: to as u8, from: pseudo::MAP_VALUE, offset: 0, constant: map });
        // The second instruction has the upper half of the constant: an offset into the value.
        self.push(Instruction::default());
    }

    /// `if (a when b) goto label`
    pub(crate) fn jump_if(&mut self, a: Register, when: When, b: impl Into<ValueOperand>, label: Label) {
        let (mode, from, constant) = split(b.into());
        self.jumps.push((label, self.instructions.len()));
        let operation = class::JUMP | when as u8 | mode;
        self.push(Instruction { operation, to: a as u8, from, offset: 0, constant });
    }

    /// `goto label`
    pub(crate) fn jump(&mut self, label: Label) {
        self.jumps.push((label, self.instructions.len()));
        self.push(Instruction { operation: class::JUMP, ..Instruction::default() });
    }

    /// `R0 = helper(R1, …)`
    pub(crate) fn call(&mut self, helper: Helper) {
        let operation = class::JUMP | class::CALL;
        self.push(Instruction { operation, constant: helper as i32, ..Instruction::default() });
    }

    /// `R0 = function(R1, …)`, a kernel function by its BTF id
    pub(crate) fn call_kernel(&mut self, function: TypeId) {
        let operation = class::JUMP | class::CALL;
        let constant = function.cast_signed();
        self.push(Instruction { operation, from: pseudo::KERNEL_FUNCTION, constant, ..Instruction::default() });
    }

    /// `return R0`
    pub(crate) fn exit(&mut self) {
        self.push(Instruction { operation: class::JUMP | class::EXIT, ..Instruction::default() });
    }

    /// The program in the kernel's form.
    ///
    /// # Errors
    /// The first mistake in it.
    pub(crate) fn finish(mut self) -> Result<Vec<u64>, AsmError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for (label, from) in &self.jumps {
            let target = self.labels.iter().find(|(known, _)| known == label).map(|(_, target)| *target);
            // A jump's distance counts from the instruction after it.
            let distance = target.and_then(|target| distance(from + 1, target)).ok_or(AsmError::Label(label))?;
            if let Some(instruction) = self.instructions.get_mut(*from) {
                instruction.offset = distance;
            }
        }
        Ok(self.instructions.into_iter().map(Instruction::encode).collect())
    }

    fn arithmetic(&mut self, arithmetic: Arithmetic, to: Register, operand: ValueOperand) {
        let (mode, from, constant) = split(operand);
        let operation = class::ALU64 | arithmetic as u8 | mode;
        self.push(Instruction { operation, to: to as u8, from, offset: 0, constant });
    }

    fn push(&mut self, instruction: Instruction) {
        self.instructions.push(instruction);
    }

    fn resolve(&mut self, place: MemoryOperand) -> (i16, Width) {
        if let (Ok(offset), Some(width)) = (i16::try_from(place.offset), place.width) {
            return (offset, width);
        }
        let width = place.width.unwrap_or(Width::U64);
        let error = AsmError::FieldOutOfReach(self.instructions.len(), place.offset);
        self.error.get_or_insert(error);
        (0, width)
    }
}

fn split(operand: ValueOperand) -> (u8, u8, i32) {
    match operand {
        ValueOperand::Register(register) => (class::REGISTER, register as u8, 0),
        ValueOperand::Constant(constant) => (0, 0, constant),
    }
}

fn distance(from: usize, to: usize) -> Option<i16> {
    let (from, to) = (i64::try_from(from).ok()?, i64::try_from(to).ok()?);
    i16::try_from(to - from).ok()
}

#[cfg(test)]
mod tests {
    use super::Register::{Frame, R0, R1, R2, R6, R9};
    use super::*;
    use crate::kernel::bpf::field::StructField;

    fn bytes(code: Code) -> Vec<[u8; 8]> {
        code.finish().unwrap().into_iter().map(u64::to_ne_bytes).collect()
    }

    /// As `llvm-objdump` shows the bytes of a little-endian program.
    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_those_of_the_instruction_set() {
        let mut code = Code::new();
        code.set(R0, -1); //                        b7 00 00 00 ff ff ff ff
        code.set(R6, R1); //                        bf 16 00 00 00 00 00 00
        code.load(R1, R6.u32(8)); //                61 61 08 00 00 00 00 00
        code.store(Frame.u64(-16), R2); //          7b 2a f0 ff 00 00 00 00
        code.load(R9, R1.u8(1)); //                 71 19 01 00 00 00 00 00
        code.store(R9.u16(2), R0); //               6b 09 02 00 00 00 00 00
        code.add(R1, 8); //                         07 01 00 00 08 00 00 00
        code.or(R1, R2); //                         4f 21 00 00 00 00 00 00
        code.and(R1, 7); //                         57 01 00 00 07 00 00 00
        code.shift_left(R1, 3); //                  67 01 00 00 03 00 00 00
        code.shift_right(R1, R2); //                7f 21 00 00 00 00 00 00
        code.set_map_value(R1, 5); //               18 21 00 00 05 00 00 00, 8 zeros
        code.call(Helper::GetTaskStack); //         85 00 00 00 8d 00 00 00
        code.call_kernel(0x0001_0203); //           85 20 00 00 03 02 01 00
        code.exit(); //                             95 00 00 00 00 00 00 00
        assert_eq!(
            bytes(code),
            [
                [0xb7, 0x00, 0, 0, 0xff, 0xff, 0xff, 0xff],
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0x61, 0x61, 8, 0, 0, 0, 0, 0],
                [0x7b, 0x2a, 0xf0, 0xff, 0, 0, 0, 0],
                [0x71, 0x19, 1, 0, 0, 0, 0, 0],
                [0x6b, 0x09, 2, 0, 0, 0, 0, 0],
                [0x07, 0x01, 0, 0, 8, 0, 0, 0],
                [0x4f, 0x21, 0, 0, 0, 0, 0, 0],
                [0x57, 0x01, 0, 0, 7, 0, 0, 0],
                [0x67, 0x01, 0, 0, 3, 0, 0, 0],
                [0x7f, 0x21, 0, 0, 0, 0, 0, 0],
                [0x18, 0x21, 0, 0, 5, 0, 0, 0],
                [0; 8],
                [0x85, 0x00, 0, 0, 141, 0, 0, 0],
                [0x85, 0x20, 0, 0, 3, 2, 1, 0],
                [0x95, 0x00, 0, 0, 0, 0, 0, 0],
            ]
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn jumps_count_from_the_next_instruction() {
        let mut code = Code::new();
        code.label("start");
        code.jump_if(R1, When::Equal, 0, "end"); // 15 01 02 00 00 00 00 00
        code.jump_if(R1, When::Negative, R2, "start"); // cd 21 fe ff 00 00 00 00
        code.jump("start"); // 05 00 fd ff 00 00 00 00
        code.label("end");
        code.exit();
        let bytes = bytes(code);
        assert_eq!(bytes[0], [0x15, 0x01, 2, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[1], [0xcd, 0x21, 0xfe, 0xff, 0, 0, 0, 0]);
        assert_eq!(bytes[2], [0x05, 0x00, 0xfd, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn a_wrong_text_is_no_program() {
        let mut code = Code::new();
        code.jump("nowhere");
        assert_eq!(code.finish(), Err(AsmError::Label("nowhere")));

        let mut code = Code::new();
        code.label("twice");
        code.label("twice");
        assert_eq!(code.finish(), Err(AsmError::Twice("twice")));

        let mut code = Code::new();
        code.jump("far");
        (0..40_000).for_each(|_| code.exit());
        code.label("far");
        assert_eq!(code.finish(), Err(AsmError::Label("far")));

        for field in [StructField { offset: 0, size: 3 }, StructField { offset: 40_000, size: 4 }] {
            let mut code = Code::new();
            code.load(R1, R2.field(field));
            assert_eq!(code.finish(), Err(AsmError::FieldOutOfReach(0, field.offset.into())));
        }
    }
}
