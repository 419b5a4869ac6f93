//! Threads whose waits are simulated, and how the estimates of them come out.

use super::{Ages, CLOCK_ERROR_NS, Claim, NoClaim, Pace, RecentTicks, UnseenAges, WaitEstimates, estimate};

pub const PERIOD_NS: u64 = 50_000_000;
pub const TICKS: u32 = 1200;
pub const PACE: Pace = Pace { ticks: TICKS, period_s: PERIOD_S, irregularity: 0.0 };
const PERIOD_S: f64 = 0.05;

/// The generator splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, up to 1.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How long waits last, in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Durations {
    Exponential(f64),
    Constant(f64),
    /// By median and sigma.
    LogNormal(f64, f64),
    /// From 0 to this.
    Uniform(f64),
    /// Mostly the first constant, but for the share the second.
    TwoHumps(f64, f64, f64),
    /// By scale and alpha.
    Pareto(f64, f64),
}

use Durations::{Constant, Exponential, LogNormal, Pareto, TwoHumps, Uniform};

impl Durations {
    pub fn mean(self) -> f64 {
        match self {
            Exponential(mean) => mean,
            Constant(value) => value,
            LogNormal(median, sigma) => median * (sigma * sigma / 2.0).exp(),
            Uniform(most) => most / 2.0,
            TwoHumps(one, other, share) => one * (1.0 - share) + other * share,
            Pareto(scale, alpha) => scale * alpha / (alpha - 1.0),
        }
    }

    /// The duration that the share `share` exceeds.
    pub fn exceeded_by(self, share: f64) -> f64 {
        match self {
            Exponential(mean) => -mean * share.ln(),
            Constant(value) => value,
            LogNormal(median, sigma) => {
                let normal = if share > 0.4 {
                    0.0
                } else if share > 0.04 {
                    1.644_854
                } else {
                    2.326_348
                };
                median * (sigma * normal).exp()
            }
            Uniform(most) => most * (1.0 - share),
            TwoHumps(one, other, longer) => {
                if share < longer {
                    other
                } else {
                    one
                }
            }
            Pareto(scale, alpha) => scale * share.powf(-1.0 / alpha),
        }
    }

    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Exponential(mean) => random.exponential(mean),
            Constant(value) => value,
            LogNormal(median, sigma) => median * (sigma * random.normal()).exp(),
            Uniform(most) => most * random.uniform(),
            TwoHumps(one, other, share) => {
                if random.uniform() < share {
                    other
                } else {
                    one
                }
            }
            Pareto(scale, alpha) => scale * random.uniform().powf(-1.0 / alpha),
        }
    }

    /// The duration of a wait that is met at random: each is as likely to be met as it is long.
    pub fn draw_met(self, random: &mut Random) -> f64 {
        match self {
            Exponential(mean) => random.exponential(mean) + random.exponential(mean),
            Constant(value) => value,
            LogNormal(median, sigma) => median * (sigma * (random.normal() + sigma)).exp(),
            Uniform(most) => most * random.uniform().sqrt(),
            TwoHumps(one, other, share) => {
                if random.uniform() * self.mean() < share * other {
                    other
                } else {
                    one
                }
            }
            Pareto(scale, alpha) => scale * random.uniform().powf(-1.0 / (alpha - 1.0)),
        }
    }
}

/// Threads that wait and, between two waits, do other things for an exponential time of this mean.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// All ages of a run are off by the same time, up to so many seconds.
    pub clock_error: f64,
    pub threads: u32,
    pub waits: Durations,
    pub gap: f64,
    /// By up to so many periods each tick is put off.
    pub jitter: f64,
    /// The share of ticks before which one was missed.
    pub missed: f64,
    /// How late a tick sees its first thread, seconds, on average; one tick of ten is ten times as late.
    pub late: f64,
    /// How long it takes from the first thread to the last, seconds.
    pub pass: f64,
}

impl Load {
    pub fn rate(self) -> f64 {
        f64::from(self.threads) / (self.waits.mean() + self.gap)
    }

    /// What a run of `ticks` ticks sees.
    pub fn run(self, ticks: u32, random: &mut Random) -> Ages {
        self.run_with_pace(ticks, random).0
    }

    /// What a run of `ticks` ticks sees, their pace, and what they could not see.
    pub fn run_with_pace(self, ticks: u32, random: &mut Random) -> (Ages, Pace, UnseenAges) {
        let mut due = 0.0;
        let instants = (0..ticks).map(|_| {
            due += if random.uniform() <= self.missed { 2.0 } else { 1.0 };
            (due + self.jitter * random.uniform()) * PERIOD_S
        });
        let instants: Vec<f64> = instants.collect();
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        let mut recent: Vec<RecentTicks> = Vec::new();
        for now in &instants {
            let mut ticks = recent.last().copied();
            ticks.iter_mut().for_each(|ticks| ticks.advance(ns(*now)));
            recent.push(ticks.unwrap_or(RecentTicks::new(ns(*now), PERIOD_NS)));
        }
        let mut unseen = UnseenAges::default();
        let mut lateness = Random(random.0 ^ 0xffff_ffff);
        let late: Vec<f64> =
            instants.iter().map(|_| if self.late > 0.0 { self.draw_late(&mut lateness) } else { 0.0 }).collect();
        if self.late > 0.0 {
            late.iter().for_each(|late| unseen.note(ns(*late), ns(self.pass)));
        }
        let mut ages = Ages::new();
        let mut places = Random(!random.0);
        let off = self.clock_error * (2.0 * random.uniform() - 1.0);
        let mut add = |age: f64, tick: u32| {
            if self.late > 0.0 {
                let since_begin = self.pass * places.uniform();
                if age < late[tick as usize] + since_begin {
                    return if age < since_begin {
                        ages.note_begun()
                    };
                }
                ages.note_seen(ns(since_begin));
            }
            let age_ns = ns((age + off).max(0.0));
            ages.add(age_ns, recent[tick as usize].within(age_ns), tick);
        };
        for _ in 0..self.threads {
            // Where a thread waits many times from one tick to the next, ticks know nothing of each other.
            if self.waits.mean() + self.gap > PERIOD_S / 2.0 {
                self.follow(&instants, random, &mut add);
            } else {
                self.look(ticks, random, &mut add);
            }
        }
        (ages, recent.last().unwrap().pace(), unseen)
    }

    fn draw_late(self, random: &mut Random) -> f64 {
        random.exponential(self.late) * if random.uniform() < 0.1 { 10.0 } else { 1.0 }
    }

    fn is_waiting(self, random: &mut Random) -> bool {
        random.uniform() * (self.waits.mean() + self.gap) < self.waits.mean()
    }

    /// One wait after another.
    fn follow(self, instants: &[f64], random: &mut Random, add: &mut impl FnMut(f64, u32)) {
        let mut begin = -random.uniform() * PERIOD_S;
        let mut end;
        if self.is_waiting(random) {
            let met = self.waits.draw_met(random);
            let age = met * random.uniform();
            (begin, end) = (begin - age, begin - age + met);
        } else {
            begin += random.exponential(self.gap);
            end = begin + self.waits.draw(random);
        }
        for (now, tick) in instants.iter().copied().zip(0..) {
            while end <= now {
                begin = end + random.exponential(self.gap);
                end = begin + self.waits.draw(random);
            }
            if begin <= now {
                add(now - begin, tick);
            }
        }
    }

    /// Each tick for itself.
    fn look(self, ticks: u32, random: &mut Random, add: &mut impl FnMut(f64, u32)) {
        for tick in 0..ticks {
            if self.is_waiting(random) {
                add(self.waits.draw_met(random) * random.uniform(), tick);
            }
        }
    }

    /// The true values, in the order of `claims`: each as the least and the greatest value that is true.
    pub fn truth(self) -> [(f64, f64); 5] {
        let ms = |share: f64| (self.waits.exceeded_by(share) * 1e3, self.waits.exceeded_by(share * (1.0 - 1e-9)) * 1e3);
        let (rate, mean) = (self.rate(), self.waits.mean() * 1e3);
        [(rate, rate), (mean, mean), ms(0.5), ms(0.05), ms(0.01)]
    }
}

/// The values of an estimate, by name.
pub fn claims(latency: &WaitEstimates) -> [(&'static str, Claim); 5] {
    [
        ("waits_s", latency.waits_s),
        ("mean", latency.mean_wait_ms),
        ("p50", latency.p50_wait_ms),
        ("p95", latency.p95_wait_ms),
        ("p99", latency.p99_wait_ms),
    ]
}

/// How a value came out over many runs.
#[derive(Debug, Default, Clone)]
pub struct ClaimOutcome {
    pub name: &'static str,
    pub claims: u32,
    covered: u32,
    /// Half the interval's width, as a share of the true value.
    widths: Vec<f64>,
    biases: Vec<f64>,
    reasons: Vec<NoClaim>,
}

impl ClaimOutcome {
    fn add(&mut self, claim: Claim, (least, greatest): (f64, f64)) {
        match claim {
            Ok(found) => {
                assert!(found.low <= found.value && found.value <= found.high, "{found:?}");
                assert!(found.high < 4.1 * found.low, "{found:?}");
                self.claims += 1;
                self.covered += u32::from(found.low <= greatest && least <= found.high);
                self.widths.push((found.high - found.low) / 2.0 / least);
                self.biases.push(found.value / least - 1.0);
            }
            Err(why) => self.reasons.push(why),
        }
    }

    /// The share of claims whose interval holds the true value.
    pub fn coverage(&self) -> f64 {
        f64::from(self.covered) / f64::from(self.claims.max(1))
    }

    /// Whether no more than `others` claims were not made for another reason than `why`.
    pub fn has_only(&self, why: NoClaim, others: usize) -> bool {
        self.reasons.iter().filter(|reason| **reason != why).count() <= others
    }

    pub fn line(&self) -> String {
        let (width, bias) = (median(&self.widths) * 100.0, median(&self.biases) * 100.0);
        let (name, claims, coverage, why) = (self.name, self.claims, self.coverage() * 100.0, self.reasons.first());
        format!("{name:8} {claims:5} claims, {coverage:5.1}% covered, ±{width:4.1}%, bias {bias:5.1}%, {why:?}")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How the values come out over so many runs of a minute.
pub fn outcomes(load: Load, runs: u64, seed: u64) -> [ClaimOutcome; 5] {
    let mut outcomes: [ClaimOutcome; 5] = Default::default();
    for run in 0..runs {
        let mut random = Random(seed.wrapping_add(run.wrapping_mul(0x1234_5678_9abc_def1)));
        let (ages, pace, unseen) = load.run_with_pace(TICKS, &mut random);
        let latency = estimate(&ages, pace, &unseen, CLOCK_ERROR_NS).unwrap();
        for ((outcome, (name, claim)), truth) in outcomes.iter_mut().zip(claims(&latency)).zip(load.truth()) {
            outcome.name = name;
            outcome.add(claim, truth);
        }
    }
    outcomes
}

pub const fn load(waits: Durations, gap: f64) -> Load {
    Load {
        clock_error: CLOCK_ERROR_NS as f64 / 1e9,
        threads: 50,
        waits,
        gap,
        jitter: 0.05,
        missed: 0.0,
        late: 0.0,
        pass: 0.0,
    }
}

/// The loads by which the intervals are proven.
pub const LOADS: [(&str, Load); 8] = [
    ("exponential 5 ms", load(Exponential(5e-3), 5e-3)),
    ("constant 10 ms", load(Constant(10e-3), 10e-3)),
    ("log-normal 1 ms 1.5", load(LogNormal(1e-3, 1.5), 3e-3)),
    ("exponential 200 ms", load(Exponential(0.2), 0.2)),
    ("two humps 0.2, 50 ms", load(TwoHumps(0.2e-3, 50e-3, 0.01), 0.3e-3)),
    ("constant 2 s", load(Constant(2.0), 2.0)),
    ("uniform to 20 ms", load(Uniform(20e-3), 10e-3)),
    ("Pareto 3 ms 2.5", load(Pareto(3e-3, 2.5), 5e-3)),
];

/// Loads that show the limits.
pub const MORE: [(&str, Load); 8] = [
    ("log-normal 5 ms 1", load(LogNormal(5e-3, 1.0), 5e-3)),
    ("exponential 60 ms", load(Exponential(60e-3), 60e-3)),
    ("uniform to 100 ms", load(Uniform(100e-3), 60e-3)),
    ("exponential 1 s", load(Exponential(1.0), 1.0)),
    ("log-normal 10 ms 2", load(LogNormal(10e-3, 2.0), 60e-3)),
    ("two humps 1 ms, 1 s", load(TwoHumps(1e-3, 1.0, 0.02), 0.02)),
    ("exponential 0.3 ms", load(Exponential(0.3e-3), 0.3e-3)),
    ("constant 100 ms", load(Constant(100e-3), 0.3)),
];
