//! How many waits begin: the density of ages at age 0.

use super::claim::NoClaim;
use super::density::Density;
use super::fit::FittedLine;

/// The rate at which waits begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Onset {
    /// Waits that began per second.
    pub(super) rate: f64,
    /// Its variance, for waits that begin independently of each other, as a share of its square.
    pub(super) variance: f64,
    /// Ages below this one, in seconds, cannot be told from 0, or waits of that age could not be seen.
    pub(super) least_age: f64,
    /// Whether later meetings of the same waits have a part in it.
    pub(super) has_later_meetings: bool,
}

/// The least number of samples in the narrowest range of ages that is looked at.
const LEAST_COUNT: f64 = 30.0;
/// By so much each range is wider than the one before.
const STEP: f64 = 1.19;
/// The search ends when the density was straight in no range up to so many times as wide as the last one.
const STOP: f64 = 2.0;
/// The share of the widest straight range that is used. The line's bias falls with the square of the range, its standard
/// deviation rises with the root of it: what curvature the tests did not see is then small beside the interval.
const SHARE: f64 = 0.3;
/// By so much the variance of a line is greater because the samples themselves chose its range, as simulations show.
const CHOICE: f64 = 1.1;
/// The counts of later meetings lie on a parabola if they deviate by no more standard deviations than this.
const MOST_TWIST: f64 = 1.5;
/// Later meetings tell the slope of the density if the times between ticks vary by no more than this: 7% of their mean.
const MOST_IRREGULARITY: f64 = 0.005;
/// Waits shorter than this, seconds, must be seen for a claim: as long as they are not, there may be any number of shorter ones.
const MOST_LATE: f64 = 0.5e-3;
/// The line is so many times as long, at least, as the range of ages before it in which waits could not be seen.
const MOST_BEYOND: f64 = 1.0;
/// The greatest relative variance with which a claim is made: the ends of its interval are a factor of four apart.
const MOST_VARIANCE: f64 = 0.12;

/// A density at age 0, samples per second of age, and its variance as a share of its square.
#[derive(Debug, Clone, Copy)]
struct AtZero {
    value: f64,
    variance: f64,
}

impl Onset {
    /// The rate by these ages, of which each may be off by `clock_error` seconds.
    pub(super) fn estimate(density: &Density, clock_error: f64) -> Result<Self, NoClaim> {
        // A shift of all ages moves as many samples into a range as out of it, unless the range begins at 0.
        let least = (2.0 * clock_error).max(density.seen_from);
        if density.seen_from > MOST_LATE {
            return Err(NoClaim::SeenLate);
        }
        let least_age = density.bins.iter().map(|bin| bin.low).find(|low| *low >= least);
        let too_late = if density.seen_from > 2.0 * clock_error { NoClaim::SeenLate } else { NoClaim::ClockError };
        let least_age = least_age.filter(|age| *age < density.period / 8.0).ok_or(too_late)?;
        let widest = Widest::find(density, least_age)?;
        // A short line tells nothing of ages far from it.
        if density.seen_from > 2.0 * clock_error && widest.width * SHARE < MOST_BEYOND * least_age {
            return Err(NoClaim::SeenLate);
        }
        let bins = density.within(least_age, least_age + widest.width);
        let narrow = bins.partition_point(|bin| bin.high <= least_age + widest.width * SHARE);
        let line = FittedLine::fit(bins.get(..narrow.max(FittedLine::LEAST_BINS)).unwrap_or(bins));
        let (value, variance) = line.ok_or(NoClaim::TooFewSamples)?.corrected(&widest.line, clock_error);
        let line = AtZero { value, variance: variance * CHOICE };
        let is_regular = density.irregularity < MOST_IRREGULARITY;
        let later = if widest.is_limit && is_regular { by_later_meetings(density, line) } else { None };
        let AtZero { value, variance } = later.unwrap_or(line);
        if variance > MOST_VARIANCE {
            return Err(NoClaim::TooWide);
        }
        if has_unseen(density, value, variance) {
            return Err(NoClaim::SeenLate);
        }
        let below = density.between(0.0, least_age);
        let most_below = value * (least_age + clock_error);
        if below > most_below * (1.0 + 3.0 * variance.sqrt()) + 3.0 * most_below.sqrt() + 3.0 {
            return Err(NoClaim::ClockError);
        }
        Ok(Self { rate: value / density.ticks, variance, least_age, has_later_meetings: later.is_some() })
    }
}

/// So many times as many waits as the line says are taken for chance.
const MOST_BEGUN: f64 = 1.3;

/// Whether there were many waits so short that they began and ended between the instant when a tick was due and the one at which
/// their thread was seen. Of those that began after the pass had begun, some still last. On the CPU that psn has meanwhile,
/// none begins, so that there may be somewhat too few.
fn has_unseen(density: &Density, at_zero: f64, variance: f64) -> bool {
    let Some((begun, seconds)) = density.begun else { return false };
    let most = at_zero * seconds;
    begun > most * (MOST_BEGUN + 3.0 * variance.sqrt()) + 3.0 * most.sqrt() + 3.0
}

/// The widest range of ages, from the least one on, in which the density is straight.
struct Widest {
    width: f64,
    line: FittedLine,
    /// Whether it is as wide as a range can be in which no wait is met twice.
    is_limit: bool,
}

impl Widest {
    fn find(density: &Density, least_age: f64) -> Result<Self, NoClaim> {
        let ends = density.bins.iter().map(|bin| bin.high).filter(|end| *end > least_age && *end <= density.period);
        let mut widest: Option<Self> = None;
        let (mut narrowest, mut last) = (f64::INFINITY, 0.0);
        for end in ends {
            let width = end - least_age;
            if width < last * STEP {
                continue;
            }
            let line = FittedLine::fit(density.within(least_age, end));
            let Some(line) = line.filter(|line| line.count >= LEAST_COUNT) else { continue };
            narrowest = narrowest.min(width);
            last = width;
            if line.is_straight() {
                widest = Some(Self { width, line, is_limit: false });
            } else if width > STOP * widest.as_ref().map_or(narrowest, |widest| widest.width) {
                break;
            }
        }
        let none = if narrowest.is_finite() { NoClaim::Uneven } else { NoClaim::TooFewSamples };
        let widest = widest.ok_or(none)?;
        let is_limit = widest.width >= last;
        if !is_limit && widest.width < 2.0 * narrowest {
            return Err(NoClaim::Uneven);
        }
        Ok(Self { is_limit, ..widest })
    }
}

/// The density at 0 where it is straight over a whole period: by how many of the waits that were met in their first period
/// were met again in the next ones. Waits that are met again tell the slope all but exactly, as the same waits are counted.
/// None if the counts do not lie on a line or a parabola, or if that is not in agreement with the line within the period.
fn by_later_meetings(density: &Density, line: AtZero) -> Option<AtZero> {
    let [first, second, third, fourth] = density.meetings;
    // Those that were too young to be seen.
    let first = first + line.value * density.blind;
    let lost = [first - second, second - third, third - fourth].map(|lost| lost.max(0.0));
    // The weighted sum of the first three counts, and its variance: a wait counts with the weights of all its meetings.
    let weighted = |weights: [f64; 3]| {
        let [one, two, three] = weights;
        let value = one * first + two * second + three * third;
        let [once, twice, _] = lost;
        let variance = once * one.powi(2) + twice * (one + two).powi(2) + third * (one + two + three).powi(2);
        (value, variance)
    };
    // Extrapolated to age 0, from the middle of the first count. The next term of the series is left out: it is uncertain.
    let extrapolated = |weights: [f64; 3], left_out: f64| {
        let (value, variance) = weighted(weights);
        let variance = variance + left_out * left_out;
        let found = AtZero { value: value / density.period, variance: variance / (value * value) };
        ((found.value / line.value - 1.0).powi(2) < 9.0 * line.variance).then_some(found)
    };
    // Waits that were met before or after the run miss some of their meetings: of each wait that began in a tick, one.
    let begun = first / density.ticks;
    let (bend, bend_variance) = weighted([1.0, -2.0, 1.0]);
    if bend.abs() <= (bend_variance + 4.0 * begun).sqrt() {
        return extrapolated([1.5, -0.5, 0.0], 0.375 * bend);
    }
    let [once, twice, thrice] = lost;
    let twist = first - 3.0 * second + 3.0 * third - fourth;
    // A parabola does not go on where hardly any wait does.
    if fourth > first / 4.0 && twist.abs() <= MOST_TWIST * (once + 4.0 * twice + thrice + 12.0 * begun).sqrt() {
        return extrapolated([1.875, -1.25, 0.375], 0.3125 * twist);
    }
    None
}
