//! `--mix`: how many threads of which kind, and how a total is divided among them.

use std::fmt;
use std::str::FromStr;

use super::kind::Kind;

/// How many threads of a kind: a share of what is left, or an exact number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Share(u32),
    Exact(u32),
}

/// A parsed `--mix`: terms separated by commas, each `KIND`, `KIND=WEIGHT` or `KIND:COUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    terms: Vec<(Kind, Amount)>,
}

impl Mix {
    /// The sum of the exact counts; `None` if some kind takes a share of a total that is given elsewhere.
    #[must_use]
    pub(crate) fn own_total(&self) -> Option<u32> {
        self.terms.iter().try_fold(0u32, |sum, (_, amount)| match amount {
            Amount::Exact(count) => sum.checked_add(*count),
            Amount::Share(_) => None,
        })
    }

    /// Splits `total` threads over the kinds. Exact counts come first; the rest is divided by
    /// weight, with the largest remainders rounded up so that the counts add up to `total`.
    pub(crate) fn counts(&self, total: u32) -> Result<Vec<(Kind, u32)>, MixError> {
        let (mut exact, mut weights) = (0u64, 0u64);
        for (_, amount) in &self.terms {
            match amount {
                Amount::Exact(count) => exact += u64::from(*count),
                Amount::Share(weight) => weights += u64::from(*weight),
            }
        }
        if exact > u64::from(total) || (weights == 0 && exact != u64::from(total)) {
            return Err(MixError::Total { exact, total });
        }
        let rest = u64::from(total) - exact;
        let mut left = rest;
        let mut remainders = Vec::new();
        let mut counts = Vec::with_capacity(self.terms.len());
        for (kind, amount) in &self.terms {
            let count = match amount {
                Amount::Exact(count) => u64::from(*count),
                Amount::Share(weight) => {
                    let product = rest * u64::from(*weight);
                    remainders.push((product % weights, counts.len()));
                    left -= product / weights;
                    product / weights
                }
            };
            counts.push((*kind, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, term) in remainders.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            counts[term].1 += 1;
        }
        Ok(counts)
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut terms: Vec<(Kind, Amount)> = Vec::new();
        for term in text.split(',').map(str::trim) {
            let number = |digits: &str| digits.parse::<u32>().map_err(|_| MixError::Number(term.to_owned()));
            let (name, amount) = if let Some((name, weight)) = term.split_once('=') {
                let weight = number(weight)?;
                if weight == 0 {
                    return Err(MixError::Number(term.to_owned()));
                }
                (name, Amount::Share(weight))
            } else if let Some((name, count)) = term.split_once(':') {
                if count == "*" { (name, Amount::Share(1)) } else { (name, Amount::Exact(number(count)?)) }
            } else {
                (term, Amount::Share(1))
            };
            let kind = Kind::MIXABLE
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| MixError::Kind(name.to_owned()))?;
            if terms.iter().any(|(known, _)| *known == kind) {
                return Err(MixError::Twice(kind));
            }
            terms.push((kind, amount));
        }
        Ok(Self { terms })
    }
}

/// Why a `--mix` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MixError {
    /// Not the name of a kind.
    Kind(String),
    /// A kind that was named before.
    Twice(Kind),
    /// A term whose weight or count is not a number, or whose weight is zero.
    Number(String),
    /// The exact counts do not fit the total.
    Total {
        /// The sum of the exact counts.
        exact: u64,
        /// The number of threads asked for.
        total: u32,
    },
}

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(name) => {
                write!(f, "no kind is called {name:?}; the kinds are")?;
                for (i, kind) in Kind::MIXABLE.iter().enumerate() {
                    write!(f, "{} {kind}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Twice(kind) => write!(f, "{kind} is named twice"),
            Self::Number(term) => {
                write!(f, "{term:?} is none of KIND, KIND=WEIGHT (1 or more), KIND:COUNT")
            }
            Self::Total { exact, total } if *exact > u64::from(*total) => {
                write!(f, "the exact counts add up to {exact}, more than the {total} threads")
            }
            Self::Total { exact, total } => {
                write!(f, "the exact counts add up to {exact} of {total} threads and no kind takes the rest")
            }
        }
    }
}

impl std::error::Error for MixError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(mix: &str, total: u32) -> Vec<(Kind, u32)> {
        mix.parse::<Mix>().unwrap().counts(total).unwrap()
    }

    #[test]
    fn exact_counts_come_first_and_shares_divide_the_rest() {
        assert_eq!(counts("spin:2,futex=3,epoll", 10), [(Kind::Spin, 2), (Kind::Futex, 6), (Kind::Epoll, 2)]);
        assert_eq!(counts("vfork:2,futex:*", 5), [(Kind::Vfork, 2), (Kind::Futex, 3)]);
    }

    #[test]
    fn shares_add_up_to_the_total_whatever_it_is() {
        let mix: Mix = "futex=3,epoll=7,pipe=1,spin=5,nanosleep:1".parse().unwrap();
        for total in 1..200 {
            let sum: u32 = mix.counts(total).unwrap().iter().map(|(_, count)| count).sum();
            assert_eq!(sum, total);
        }
    }

    #[test]
    fn a_mix_of_exact_counts_knows_its_total() {
        assert_eq!("futex:3,stopped:4".parse::<Mix>().unwrap().own_total(), Some(7));
        assert_eq!("futex:3,stopped".parse::<Mix>().unwrap().own_total(), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |mix: &str| mix.parse::<Mix>().unwrap_err().to_string();
        assert!(error("futex,sleepy").contains("\"sleepy\""));
        assert!(error("vfork-child").contains("no kind"));
        assert!(error("futex,futex:2").contains("twice"));
        assert!(error("futex=0").contains("KIND=WEIGHT"));
        assert!(error("futex:-1").contains("KIND:COUNT"));
        assert!(error("").contains("no kind"));
        let mix: Mix = "futex:5".parse().unwrap();
        assert!(mix.counts(4).unwrap_err().to_string().contains("more than the 4"));
        assert!(mix.counts(6).unwrap_err().to_string().contains("no kind takes the rest"));
    }
}
