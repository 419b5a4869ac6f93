//! The kinds of threads, one row each: what is known of a kind before any thread runs. A file in the room `kinds` has what
//! the threads of a kind do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes [`Kind`] and what can be asked of it from one row for each kind: documentation, variant, name,
/// the state letter its threads have once they have settled, and what `--help` says they do.
macro_rules! kinds {
    (
        mixable { $( #[doc = $doc:literal] $kind:ident, $name:literal, $state:expr, $help:literal; )+ }
        internal { $( #[doc = $own_doc:literal] $own_kind:ident, $own_name:literal, $own_state:expr; )+ }
    ) => {
        /// What a thread of the storm does, which determines the state that a sampler must find it in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Kind {
            $( #[doc = $doc] #[serde(rename = $name)] $kind, )+
            $( #[doc = $own_doc] #[serde(rename = $own_name)] $own_kind, )+
        }

        impl Kind {
            /// The kinds that `--mix` may name.
            pub const MIXABLE: [Self; [$( $name ),+].len()] = [$( Self::$kind ),+];

            const ALL: &[Self] = &[$( Self::$kind, )+ $( Self::$own_kind, )+];

            /// The name used in `--mix`, in the ground truth and in plain thread names.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$kind => $name, )+
                    $( Self::$own_kind => $own_name, )+
                }
            }

            /// The state letter such a thread shows once it has settled; `None` when it keeps changing.
            #[must_use]
            pub const fn settled_state(self) -> Option<char> {
                match self {
                    $( Self::$kind => $state, )+
                    $( Self::$own_kind => $own_state, )+
                }
            }

            /// What `--help` says that a thread of this kind does; empty for one that `--mix` may not name.
            pub(crate) const fn help(self) -> &'static str {
                match self {
                    $( Self::$kind => $help, )+
                    $( Self::$own_kind => "", )+
                }
            }
        }
    };
}

kinds! {
    mixable {
        /// Asleep in `futex`.
        Futex, "futex", Some('S'), "asleep in futex";
        /// Asleep in `epoll_pwait`, on one of a few shared epoll instances.
        Epoll, "epoll", Some('S'), "asleep in epoll_pwait, on one of 16 epoll instances";
        /// Asleep in `clock_nanosleep`.
        Nanosleep, "nanosleep", Some('S'), "asleep in clock_nanosleep";
        /// Asleep in `read` on an empty pipe.
        Pipe, "pipe", Some('S'), "asleep in read, on one of 16 empty pipes";
        /// Busy on a CPU.
        Spin, "spin", Some('R'), "busy on a CPU";
        /// In uninterruptible sleep: the parent of a `vfork` child that never execs.
        Vfork, "vfork", Some('D'), "parent of a vfork child that stays: one more process each, asleep in pause";
        /// Stopped by SIGSTOP. A stop hits a whole process, so each is a process of its own.
        Stopped, "stopped", Some('T'), "a single-threaded process stopped by SIGSTOP";
        /// Writing and syncing a small unnamed file for ever; its state changes all the time.
        Fsync, "fsync", None, "writes and syncs a small file for ever";
        /// In `clock_nanosleep` for 40 ms, again and again; measures its waits.
        NapConstant, "nap-const", None, "in clock_nanosleep for 40 ms, then in ppoll for up to 20 ms, for ever; measures the former";
        /// The same for exponential times.
        NapExponential, "nap-exp", None, "the same for exponential times of 40 ms on average";
        /// The same for times with two humps.
        NapHumps, "nap-humps", None, "the same for 10 ms, one time in ten for 150 ms";
        /// In `futex` for 40 ms, again and again; measures its waits.
        FutexConstant, "fut-const", None, "in futex for 40 ms, then in ppoll for up to 20 ms, for ever; measures the former";
        /// The same for exponential times.
        FutexExponential, "fut-exp", None, "the same for exponential times of 40 ms on average";
        /// The same for times with two humps.
        FutexHumps, "fut-humps", None, "the same for 10 ms, one time in ten for 150 ms";
    }
    internal {
        /// The child of a [`Kind::Vfork`] thread: one more process, asleep in `pause`.
        VforkChild, "vfork-child", Some('S');
        /// A thread of the generator itself.
        Harness, "harness", None;
    }
}

impl Kind {
    /// The number of the kind in shared memory, where 0 is no kind.
    pub(crate) const fn code(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_and_one_code() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
            assert_eq!(Kind::MIXABLE.contains(kind), !kind.help().is_empty());
        }
        assert_eq!(Kind::from_code(0), None);
    }
}
