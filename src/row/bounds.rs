//! How exact the ages of waits are.

/// How exact the age of a wait is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exactness {
    /// The wait has lasted as long as that.
    Exact,
    /// It may have lasted longer: psn knows only since when it has seen the thread asleep.
    AtLeast,
    /// It may have been shorter: the last run of a real-time thread counts too.
    AtMost,
}

impl Exactness {
    /// The value of the column `wait_exact`.
    pub(crate) const fn number(self) -> i128 {
        match self {
            Self::Exact => 1,
            Self::AtLeast => 0,
            Self::AtMost => -1,
        }
    }
}

/// Which kinds of bounds are among the ages of several waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Whether one of the waits may have lasted longer.
    pub has_at_least: bool,
    /// Whether one of them may have been shorter.
    pub has_at_most: bool,
}

impl Bounds {
    /// Notes a value of the column `wait_exact`.
    #[inline]
    pub(crate) const fn note(&mut self, exactness: i128) {
        match exactness {
            ..0 => self.has_at_most = true,
            0 => self.has_at_least = true,
            1.. => {}
        }
    }

    /// The bounds among the waits of both.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            has_at_least: self.has_at_least || other.has_at_least,
            has_at_most: self.has_at_most || other.has_at_most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_all_waits() {
        let of = |waits: &[Exactness]| {
            let mut bounds = Bounds::default();
            waits.iter().for_each(|wait| bounds.note(wait.number()));
            (bounds.has_at_least, bounds.has_at_most)
        };
        use Exactness::{AtLeast, AtMost, Exact};
        assert_eq!(of(&[]), (false, false));
        assert_eq!(of(&[Exact, Exact]), (false, false));
        assert_eq!(of(&[Exact, AtLeast]), (true, false));
        assert_eq!(of(&[AtMost, Exact]), (false, true));
        assert_eq!(of(&[AtMost, AtLeast]), (true, true));
        let (least, most) =
            (Bounds { has_at_least: true, ..Bounds::default() }, Bounds { has_at_most: true, ..Bounds::default() });
        assert_eq!(least.and(most), Bounds { has_at_least: true, has_at_most: true });
        assert_eq!(Bounds::default().and(least), least);
    }
}
