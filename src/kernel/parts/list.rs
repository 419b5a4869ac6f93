//! What follows from the list of parts: the request, the kernel's fields, the form of a record, and the record that psn reads.

/// Makes these types of a list of parts: a name in [`Parts`](super::Parts) and in [`TaskRecord`](super::TaskRecord), and the type
/// that implements [`RecordPart`](super::part::RecordPart).
macro_rules! parts {
    (
        each_walk { $($(#[$walk_doc:meta])* $walk:ident: $Walk:ty,)* }
        each_wait { $($(#[$wait_doc:meta])* $wait:ident: $Wait:ty,)* }
    ) => {
        /// What to take of each task beside what every record has. Each part costs something for every task that passes the gate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Parts {
            $($(#[$walk_doc])* pub $walk: bool,)*
            $($(#[$wait_doc])* pub $wait: bool,)*
            /// Frames of the kernel's stack, innermost first: 1 suffices for the wait channel. At most [`Parts::MAX_FRAMES`].
            pub frames: u8,
        }

        impl Parts {
            /// As many frames as /proc shows.
            pub const MAX_FRAMES: u8 = stack::MAX_FRAMES;

            /// All parts there are, with whole stacks.
            #[must_use]
            pub const fn everything() -> Self {
                Self { $($walk: true,)* $($wait: true,)* frames: Self::MAX_FRAMES }
            }
        }

        /// Where the kernel keeps each part; `None` for a part that it cannot give.
        #[derive(Debug, Clone, Copy)]
        pub struct PartFields {
            $(pub $walk: Option<$Walk>,)*
            $(pub $wait: Option<$Wait>,)*
            pub frames: Option<stack::StackFields>,
        }

        impl PartFields {
            /// What has to be looked for.
            pub const NAMES: &[TypeNames] = &[$(<$Walk>::NAMES,)* $(<$Wait>::NAMES,)* stack::StackFields::NAMES];

            /// Finds them.
            pub fn find(types: &Types<'_>) -> Self {
                Self {
                    $($walk: <$Walk>::find(types),)*
                    $($wait: <$Wait>::find(types),)*
                    frames: stack::StackFields::find(types),
                }
            }
        }

        /// The form of a record: the parts that are taken, each with its place.
        #[derive(Debug, Clone, Copy)]
        pub struct RecordLayout {
            $($walk: Option<PlacedPart<$Walk>>,)*
            $($wait: Option<PlacedPart<$Wait>>,)*
            frames: Option<stack::PlacedStack>,
            /// Where the parts of a wait begin, and a record without them ends.
            wait: i32,
            /// Where the frames of the stack begin, and a record without them ends.
            end: i32,
        }

        impl RecordLayout {
            /// The form for these parts, less those that the kernel cannot give.
            pub fn new(fields: &PartFields, parts: Parts) -> Self {
                let mut end = identity::END;
                $(let $walk = PlacedPart::new(fields.$walk, parts.$walk, &mut end);)*
                end = align(end, 8);
                let wait = end;
                $(let $wait = PlacedPart::new(fields.$wait, parts.$wait, &mut end);)*
                end = align(end, 8);
                let frames = stack::PlacedStack::new(fields.frames, parts.frames, &mut end);
                Self { $($walk,)* $($wait,)* frames, wait, end }
            }

            /// The parts that are taken.
            pub fn parts(&self) -> Parts {
                Parts {
                    $($walk: self.$walk.is_some(),)*
                    $($wait: self.$wait.is_some(),)*
                    frames: self.frames.map_or(0, stack::PlacedStack::frames),
                }
            }

            /// Writes the instructions that fill the parts taken in each walk.
            pub fn write_each_walk(&self, code: &mut Code) {
                $(if let Some(part) = self.$walk {
                    part.write(code);
                })*
            }

            /// Writes the instructions that fill the parts taken once in each wait.
            pub fn write_each_wait(&self, code: &mut Code) {
                $(if let Some(part) = self.$wait {
                    part.write(code);
                })*
                if let Some(stack) = self.frames {
                    stack.write(code);
                }
            }

            /// Reads what a record with the parts of a wait tells of it, all but its stack.
            #[inline]
            pub fn wait(&self, record: crate::kernel::record_words::RecordWords<'_>) -> WaitFacts {
                WaitFacts { $($wait: read(self.$wait, record),)* }
            }

            /// Reads a record, whose first words are the `header`, given its wait if that is known.
            #[inline]
            pub fn task<'a>(
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

        /// What a task waits for, all but its stack.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct WaitFacts {
            $(pub $wait: <$Wait as RecordPart>::Value,)*
        }

        /// One task, as it was at one instant.
        ///
        /// "One instant" is meant literally for what it waits for: the system call, the registers and the stack are there only if the
        /// task was in the state shown and on no CPU from before they were taken until after.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct TaskRecord<'a> {
            /// The thread's id.
            pub tid: u32,
            /// The process's id.
            pub tgid: u32,
            /// The state as /proc has it.
            pub state: state::TaskState,
            /// Whether the task was on a CPU, which a task in state R need not be.
            pub is_on_cpu: bool,
            /// The CPU it is or was last on: `processor` in /proc.
            pub cpu: u32,
            /// When it started, in clock ticks after boot: field 22 of `stat`.
            pub starttime_ticks: u64,
            /// The kernel's `PF_…` bits.
            pub flags: u32,
            /// How often it left a CPU; unchanged means that it was on no CPU since.
            pub switches: u64,
            $($(#[$walk_doc])* pub $walk: <$Walk as RecordPart>::Value,)*
            $($(#[$wait_doc])* pub $wait: <$Wait as RecordPart>::Value,)*
            /// The kernel's stack, innermost frame first; empty if not asked for, or if the task was not at rest.
            pub frames: &'a [u64],
            /// Whether the task moved on while it was looked at, so that what it waits for is not known although it was asked for.
            pub has_moved: bool,
            /// The name, up to the first 0.
            pub(crate) comm: [u8; 16],
        }

        impl TaskRecord<'_> {
            /// The record without its stack: all that outlives the walk.
            #[must_use]
            pub const fn without_frames(&self) -> TaskRecord<'static> {
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
