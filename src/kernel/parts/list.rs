//! The types that follow from the list of parts: the request, the kernel's fields, the layout of a record, and the record that
//! psn reads.

/// Makes these types from a list of parts: a name in [`Parts`](super::Parts) and in [`TaskRecord`](super::TaskRecord), and the type
/// that implements [`RecordPart`](super::part::RecordPart).
macro_rules! parts {
    (
        each_walk { $($(#[$walk_doc:meta])* $walk:ident: $Walk:ty,)* }
        each_wait { $($(#[$wait_doc:meta])* $wait:ident: $Wait:ty,)* }
    ) => {
        /// The optional parts of a record. Each costs time for every task that passes the gate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Parts {
            $($(#[$walk_doc])* pub $walk: bool,)*
            $($(#[$wait_doc])* pub $wait: bool,)*
            /// The number of frames of the kernel stack, innermost first: 1 is enough for the wait channel. At most
            /// [`Parts::MAX_FRAMES`].
            pub frames: u8,
        }

        impl Parts {
            /// The number of frames that /proc shows.
            pub const MAX_FRAMES: u8 = stack::MAX_FRAMES;

            /// All parts, with whole stacks.
            #[must_use]
            pub const fn everything() -> Self {
                Self { $($walk: true,)* $($wait: true,)* frames: Self::MAX_FRAMES }
            }
        }

        /// The kernel's fields for each part; `None` for a part that the kernel does not have.
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct PartFields {
            $(pub(crate) $walk: Option<$Walk>,)*
            $(pub(crate) $wait: Option<$Wait>,)*
            pub(crate) frames: Option<stack::StackFields>,
        }

        impl PartFields {
            /// The names of types to look up.
            pub(crate) const NAMES: &[TypeNames] = &[$(<$Walk>::NAMES,)* $(<$Wait>::NAMES,)* stack::StackFields::NAMES];

            /// Finds the fields.
            pub(crate) fn find(types: &Types<'_>) -> Self {
                Self {
                    $($walk: <$Walk>::find(types),)*
                    $($wait: <$Wait>::find(types),)*
                    frames: stack::StackFields::find(types),
                }
            }
        }

        /// The layout of a record: the parts that it has, each with its offset.
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct RecordLayout {
            $($walk: Option<PlacedPart<$Walk>>,)*
            $($wait: Option<PlacedPart<$Wait>>,)*
            frames: Option<stack::PlacedStack>,
            /// The offset where the parts of a wait begin, and where a record without them ends.
            wait: i32,
            /// The offset where the frames of the stack begin, and where a record without them ends.
            end: i32,
        }

        impl RecordLayout {
            /// The layout for these parts, except those that the kernel does not have.
            pub(crate) fn new(fields: &PartFields, parts: Parts) -> Self {
                let mut end = identity::END;
                $(let $walk = PlacedPart::new(fields.$walk, parts.$walk, &mut end);)*
                end = align(end, 8);
                let wait = end;
                $(let $wait = PlacedPart::new(fields.$wait, parts.$wait, &mut end);)*
                end = align(end, 8);
                let frames = stack::PlacedStack::new(fields.frames, parts.frames, &mut end);
                Self { $($walk,)* $($wait,)* frames, wait, end }
            }

            /// The parts that a record has.
            pub(crate) fn parts(&self) -> Parts {
                Parts {
                    $($walk: self.$walk.is_some(),)*
                    $($wait: self.$wait.is_some(),)*
                    frames: self.frames.map_or(0, stack::PlacedStack::frames),
                }
            }

            /// Writes the instructions that fill the parts of each walk.
            pub(crate) fn write_each_walk(&self, code: &mut Code) {
                $(if let Some(part) = self.$walk {
                    part.write(code);
                })*
            }

            /// Writes the instructions that fill the parts of a wait.
            pub(crate) fn write_each_wait(&self, code: &mut Code) {
                $(if let Some(part) = self.$wait {
                    part.write(code);
                })*
                if let Some(stack) = self.frames {
                    stack.write(code);
                }
            }

            /// Reads the parts of a wait, except the stack.
            #[inline]
            pub(crate) fn wait(&self, record: crate::kernel::record_words::RecordWords<'_>) -> WaitFacts {
                WaitFacts { $($wait: read(self.$wait, record),)* }
            }

            /// Reads a record, whose first words are the `header`. `wait` is the wait of the task, if that is known.
            #[inline]
            pub(crate) fn task<'a>(
                &self,
                header: RecordWords<'_>,
                record: RecordWords<'_>,
                wait: Option<(&WaitFacts, &'a [u64])>,
                has_moved: bool,
                clock: crate::kernel::clock::BootClock,
            ) -> TaskRecord<'a> {
                let identity::TaskIdentity { tid, tgid, starttime_ticks, comm, flags } = identity::read(header, clock);
                TaskRecord {
                    tid,
                    tgid,
                    state: state::read(header),
                    is_on_cpu: record_flags::read(header) & record_flags::ON_CPU != 0,
                    cpu: cpu::read_cpu(header),
                    starttime_ticks,
                    flags,
                    switches: cpu::read_switches(header),
                    $($walk: read(self.$walk, record),)*
                    $($wait: wait.map_or_else(Default::default, |(facts, _)| facts.$wait),)*
                    frames: wait.map_or(&[], |(_, frames)| frames),
                    has_moved,
                    comm,
                }
            }
        }

        /// What a task waits for, except its stack.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct WaitFacts {
            $(pub $wait: <$Wait as RecordPart>::Value,)*
        }

        /// One task, as it was at one instant.
        ///
        /// The system call, the registers and the stack are really of one instant: they are there only if the task was in the state
        /// shown and on no CPU from before they were read until after.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct TaskRecord<'a> {
            /// The thread id.
            pub tid: u32,
            /// The process id.
            pub tgid: u32,
            /// The state, as in /proc.
            pub state: state::TaskState,
            /// Whether the task was on a CPU. A task in state R can be waiting for one.
            pub is_on_cpu: bool,
            /// The CPU that the task was on or was last on: `processor` in /proc.
            pub cpu: u32,
            /// The start time in clock ticks after boot: field 22 of `stat`.
            pub starttime_ticks: u64,
            /// The kernel's `PF_…` bits.
            pub flags: u32,
            /// The number of context switches. While it does not change, the task is on no CPU.
            pub switches: u64,
            $($(#[$walk_doc])* pub $walk: <$Walk as RecordPart>::Value,)*
            $($(#[$wait_doc])* pub $wait: <$Wait as RecordPart>::Value,)*
            /// The kernel stack, innermost frame first. Empty if it was not requested, or if the task was not at rest.
            pub frames: &'a [u64],
            /// Whether the task ran while the program looked at it, so that its wait is not known although it was requested.
            pub has_moved: bool,
            /// The name, up to the first 0.
            pub(crate) comm: [u8; 16],
        }

        impl TaskRecord<'_> {
            /// The record without its stack, which does not outlive the walk.
            #[must_use]
            pub(crate) const fn without_frames(&self) -> TaskRecord<'static> {
                TaskRecord {
                    tid: self.tid,
                    tgid: self.tgid,
                    state: self.state,
                    is_on_cpu: self.is_on_cpu,
                    cpu: self.cpu,
                    starttime_ticks: self.starttime_ticks,
                    flags: self.flags,
                    switches: self.switches,
                    $($walk: self.$walk,)*
                    $($wait: self.$wait,)*
                    frames: &[],
                    has_moved: self.has_moved,
                    comm: self.comm,
                }
            }
        }
    };
}

pub(super) use parts;
