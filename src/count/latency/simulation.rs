//! The estimates held against waits whose lengths are known: whether intervals cover what is true as often as they say.

use super::{AgeDensity, Estimate, TickSeries, WaitAges};
use crate::count::memory::Budget;

/// Numbers between 0 and 1, the same in each run of the tests (Vigna's splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-18
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.next().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.next().ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// Lengths of waits, milliseconds.
#[derive(Debug, Clone, Copy)]
enum Lengths {
    Exponential(f64),
    Constant(f64),
    Uniform(f64),
    /// Median, and the standard deviation of the logarithm.
    LogNormal(f64, f64),
    /// The least, and the exponent.
    Pareto(f64, f64),
    /// Of a hundred, 99 are of one length and one is of another.
    Mixture(f64, f64),
}

impl Lengths {
    fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Exponential(mean) => random.exponential(mean),
            Self::Constant(length) => length,
            Self::Uniform(most) => most * random.next(),
            Self::LogNormal(median, sigma) => median * (sigma * random.normal()).exp(),
            Self::Pareto(least, alpha) => least * random.next().powf(-1.0 / alpha),
            Self::Mixture(short, long) => {
                if random.next() < 0.99 {
                    short
                } else {
                    long
                }
            }
        }
    }

    fn mean(self) -> f64 {
        match self {
            Self::Exponential(mean) => mean,
            Self::Constant(length) => length,
            Self::Uniform(most) => most / 2.0,
            Self::LogNormal(median, sigma) => median * (sigma * sigma / 2.0).exp(),
            Self::Pareto(least, alpha) => least * alpha / (alpha - 1.0),
            Self::Mixture(short, long) => 0.99 * short + 0.01 * long,
        }
    }

    /// The length that this share of waits does not exceed.
    fn quantile(self, share: f64) -> f64 {
        match self {
            Self::Exponential(mean) => -mean * (1.0 - share).ln(),
            Self::Constant(length) => length,
            Self::Uniform(most) => most * share,
            Self::LogNormal(median, sigma) => {
                let z: f64 = if share < 0.6 {
                    0.0
                } else if share < 0.96 {
                    1.6449
                } else {
                    2.3263
                };
                median * (sigma * z).exp()
            }
            Self::Pareto(least, alpha) => least * (1.0 - share).powf(-1.0 / alpha),
            Self::Mixture(short, _) => short,
        }
    }

    /// The age at which a wait is met at any instant: at a random place in a wait drawn by its length.
    fn age(self, random: &mut Random) -> f64 {
        let length = match self {
            Self::Exponential(mean) => return random.exponential(mean),
            Self::Constant(length) => length,
            Self::Uniform(most) => most * random.next().sqrt(),
            Self::LogNormal(median, sigma) => median * (sigma * sigma).exp() * (sigma * random.normal()).exp(),
            Self::Pareto(least, alpha) => least * random.next().powf(-1.0 / (alpha - 1.0)),
            Self::Mixture(short, long) => {
                if random.next() < 0.99 * short / self.mean() {
                    short
                } else {
                    long
                }
            }
        };
        length * random.next()
    }
}

const THREADS: u32 = 50;
const TICKS: u32 = 1200;
const PERIOD_MS: f64 = 50.0;
/// Ages below this are not known, milliseconds.
const BLIND_MS: f64 = 0.1;
/// On its CPU a thread stays so long on average, milliseconds.
const GAP_MS: f64 = 5.0;

/// One run: 50 threads, 60 seconds, 20 Hz; ages are known to 20 µs.
fn run(lengths: Lengths, random: &mut Random) -> AgeDensity {
    let budget = Budget::new(usize::MAX);
    let mut ages = WaitAges::default();
    let mut by_tick = vec![0.0; TICKS as usize];
    let mut note = |tick: usize, age: f64, random: &mut Random| {
        if age < BLIND_MS {
            return;
        }
        let error = 0.01 * random.normal();
        ages.add(((age + error).max(0.0) * 1e6) as i128, &budget);
        by_tick[tick] += 1.0;
    };
    let cycle = lengths.mean() + GAP_MS;
    for _ in 0..THREADS {
        if cycle < PERIOD_MS / 3.0 && !matches!(lengths, Lengths::Mixture(..)) {
            // From tick to tick nothing is left of what was: each is drawn anew.
            for tick in 0..TICKS as usize {
                if random.next() < lengths.mean() / cycle {
                    let age = lengths.age(random);
                    note(tick, age, random);
                }
            }
            continue;
        }
        let mut now = -10.0 * cycle * random.next();
        let mut tick = 0;
        while tick < TICKS as usize {
            let began = now + random.exponential(GAP_MS);
            let ended = began + lengths.draw(random);
            while tick < TICKS as usize && (tick as f64) * PERIOD_MS < began {
                tick += 1;
            }
            while tick < TICKS as usize && (tick as f64) * PERIOD_MS < ended {
                let age = tick as f64 * PERIOD_MS - began;
                note(tick, age, random);
                tick += 1;
            }
            now = ended;
        }
    }
    let mean = by_tick.iter().sum::<f64>() / f64::from(TICKS);
    let batches: Vec<f64> =
        by_tick.chunks(TICKS as usize / 15).map(|batch| batch.iter().sum::<f64>() / batch.len() as f64).collect();
    let variance = batches.iter().map(|batch| (batch - mean).powi(2)).sum::<f64>() / 14.0;
    let relative_ci95 = 2.145 * (variance / 15.0).sqrt() / mean;
    ages.latency(TickSeries { count: TICKS, period_s: PERIOD_MS / 1000.0, relative_ci95, blind_ms: BLIND_MS }).unwrap()
}

/// How often an interval covered what is true, how often there was a claim, and the median of its value and width against it.
#[derive(Debug)]
struct Score {
    covered: f64,
    claimed: f64,
    value: f64,
    width: f64,
}

fn score(estimates: &[Option<Estimate>], truth: f64) -> Score {
    let claims: Vec<Estimate> = estimates.iter().flatten().copied().collect();
    let median = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let covers = |claim: &&Estimate| claim.low <= truth * 1.001 && truth * 0.999 <= claim.high;
    Score {
        covered: claims.iter().filter(covers).count() as f64 / claims.len().max(1) as f64,
        claimed: claims.len() as f64 / estimates.len() as f64,
        value: median(claims.iter().map(|claim| claim.value / truth).collect()),
        width: median(claims.iter().map(|claim| (claim.high - claim.low) / truth).collect()),
    }
}

const DISTRIBUTIONS: [Lengths; 9] = [
    Lengths::Exponential(5.0),
    Lengths::Constant(10.0),
    Lengths::LogNormal(1.0, 1.5),
    Lengths::Exponential(200.0),
    Lengths::Mixture(0.2, 50.0),
    Lengths::Constant(2000.0),
    Lengths::Uniform(20.0),
    Lengths::Pareto(1.0, 2.5),
    Lengths::Exponential(0.5),
];

#[test]
fn intervals_cover_what_is_true_as_often_as_they_say() {
    let runs: u64 = std::env::var("PSN_SIMULATIONS").map_or(20, |runs| runs.parse().unwrap());
    for lengths in DISTRIBUTIONS {
        let mut random = Random(7);
        let latencies: Vec<AgeDensity> = (0..runs).map(|_| run(lengths, &mut random)).collect();
        let rate = f64::from(THREADS) * 1000.0 / (lengths.mean() + GAP_MS);
        let all = |estimate: &dyn Fn(&AgeDensity) -> Option<Estimate>, truth: f64| {
            score(&latencies.iter().map(estimate).collect::<Vec<_>>(), truth)
        };
        let scores = [
            ("rate", all(&AgeDensity::waits_s, rate)),
            ("mean", all(&AgeDensity::mean_ms, lengths.mean())),
            ("p50", all(&|latency| latency.percentile_ms(50), lengths.quantile(0.5))),
            ("p95", all(&|latency| latency.percentile_ms(95), lengths.quantile(0.95))),
            ("p99", all(&|latency| latency.percentile_ms(99), lengths.quantile(0.99))),
        ];
        for (name, score) in &scores {
            let told = format!("{lengths:?}, {name}: {score:.3?}");
            if std::env::var_os("PSN_SIMULATIONS").is_some() {
                eprintln!("{told}");
            }
            // Of so few runs, some more or less are covered by chance. Percentiles are covered more often than they say.
            // Near 0 the density of the log-normal is no exponential at any scale.
            let least = match (lengths, *name) {
                (Lengths::LogNormal(..), "rate" | "mean") => 0.6,
                (_, "rate" | "mean") => 0.85,
                _ => 0.9,
            };
            match (lengths, *name) {
                // Where lengths have a gap at the percentile, any length in it is right.
                (Lengths::Mixture(..), "p99") => continue,
                // All are of one length, which is known no better than the clocks.
                (Lengths::Mixture(short, _), "p95") => {
                    assert!((score.value - 1.0).abs() * short < 0.05, "{told}");
                    continue;
                }
                _ => {}
            }
            assert!(score.claimed < 0.01 || score.covered >= least, "{told}");
            let is_near_the_end = matches!((lengths, *name), (Lengths::Uniform(_), "p99"));
            assert!(score.claimed >= 0.95 || is_near_the_end, "{told}");
            assert!((0.9..1.15).contains(&score.value) && score.width < 100.0, "{told}");
        }
    }
}

#[test]
fn without_enough_ages_there_is_no_claim() {
    let budget = Budget::new(usize::MAX);
    let of = |ages_ms: &[f64]| {
        let mut ages = WaitAges::default();
        for age_ms in ages_ms {
            ages.add((age_ms * 1e6) as i128, &budget);
        }
        ages.latency(TickSeries { count: 100, period_s: 0.05, relative_ci95: 0.1, blind_ms: 0.0 })
    };
    let claims = |density: &AgeDensity| {
        (density.waits_s().is_some(), density.mean_ms().is_some(), density.percentile_ms(99).is_some())
    };
    assert_eq!(claims(&of(&[]).unwrap()), (false, false, false));
    assert_eq!(claims(&of(&[1.0; 30]).unwrap()), (false, false, false), "too few");
    assert_eq!(claims(&of(&[9000.0; 4000]).unwrap()), (false, false, false), "none of them was seen to begin");
    assert!(claims(&of(&[0.01; 4000]).unwrap()).0);
    let mut ages = WaitAges::default();
    ages.add(1, &Budget::new(0));
    assert!(
        ages.latency(TickSeries { count: 100, period_s: 0.05, relative_ci95: 0.1, blind_ms: 0.0 }).is_none(),
        "no memory"
    );
}

#[test]
fn ages_put_together_are_as_if_noted_at_once() {
    let budget = Budget::new(usize::MAX);
    let [mut one, mut other, mut both] = [const { None::<WaitAges> }; 3].map(Option::unwrap_or_default);
    let mut random = Random(3);
    for number in 0..5000 {
        let age = (random.exponential(7.0) * 1e6) as i128;
        if number % 3 == 0 { &mut one } else { &mut other }.add(age, &budget);
        both.add(age, &budget);
    }
    one.merge(&other, &budget);
    assert_eq!(one, both);
    one.clear();
    assert_eq!(
        one.latency(TickSeries { count: 1, period_s: 0.05, relative_ci95: 0.1, blind_ms: 0.0 }).unwrap().waits_s(),
        None
    );
}
