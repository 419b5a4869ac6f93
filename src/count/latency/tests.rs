//! The estimates against simulated waits.

use super::simulation::*;
use super::{Ages, CLOCK_ERROR_NS, Claim, NoClaim, Pace, UnseenAges, WaitEstimates};

fn estimate(ages: &Ages, pace: Pace, clock_error_ns: u64) -> Option<WaitEstimates> {
    super::estimate(ages, pace, &UnseenAges::default(), clock_error_ns)
}

/// The intervals of one of the loads hold the true value in 90 to 98% of runs. In 200 runs, 98% show as up to 99%.
const COVERED: f64 = 0.99;

#[track_caller]
fn assert_covered(name: &str, most: f64) {
    let (_, load) = LOADS.into_iter().find(|(known, _)| *known == name).unwrap();
    for outcome in outcomes(load, 200, 1) {
        let is_percentile = outcome.name.starts_with('p');
        // A percentile is known no better than to a bucket. Where this is more than chance does, it is always covered.
        let most = if is_percentile { 1.0 } else { most };
        let covered = outcome.coverage();
        assert!((0.9..=most).contains(&covered), "{name}: {}", outcome.line());
        // The 99th percentile of the two humps is anything between them.
        let has_claims = name.starts_with("two humps") && outcome.name == "p99" || outcome.claims >= 190;
        assert!(has_claims, "{name}: {}", outcome.line());
    }
}

#[test]
fn intervals_of_exponential_waits_cover() {
    assert_covered("exponential 5 ms", COVERED);
}

#[test]
fn intervals_of_constant_waits_cover() {
    assert_covered("constant 10 ms", COVERED);
}

#[test]
fn intervals_of_log_normal_waits_cover() {
    assert_covered("log-normal 1 ms 1.5", COVERED);
}

#[test]
fn intervals_of_waits_of_some_ticks_cover() {
    assert_covered("exponential 200 ms", COVERED);
}

#[test]
fn intervals_of_waits_with_two_humps_cover() {
    assert_covered("two humps 0.2, 50 ms", COVERED);
}

#[test]
fn intervals_of_constant_waits_of_many_ticks_cover() {
    // Waits that are all alike vary less from one time to another than a minute can show.
    assert_covered("constant 2 s", 1.0);
}

#[test]
fn intervals_of_uniform_waits_cover() {
    assert_covered("uniform to 20 ms", COVERED);
}

#[test]
fn intervals_of_waits_with_a_long_tail_cover() {
    assert_covered("Pareto 3 ms 2.5", COVERED);
}

/// The table of docs/statistics.md, over `RUNS` runs.
#[test]
#[ignore = "prints a table"]
fn table_of_coverage() {
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(200);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let threads: Option<u32> = std::env::var("THREADS").ok().and_then(|threads| threads.parse().ok());
    let irregular = std::env::var("IRREGULAR").is_ok();
    for loads in [LOADS, MORE] {
        let loads =
            loads.map(|(name, load)| (name, if irregular { Load { jitter: 1.0, missed: 0.1, ..load } } else { load }));
        let loads = loads.map(|(name, load)| (name, Load { threads: threads.unwrap_or(load.threads), ..load }));
        let tables: Vec<_> = std::thread::scope(|scope| {
            let tables = loads.map(|(_, load)| scope.spawn(move || outcomes(load, runs, seed)));
            tables.into_iter().map(|table| table.join().unwrap()).collect()
        });
        for ((name, _), table) in loads.iter().zip(tables) {
            println!("{name}");
            table.iter().for_each(|outcome| println!("  {}", outcome.line()));
        }
    }
}

fn seen(load: Load) -> WaitEstimates {
    estimate(&load.run(TICKS, &mut Random(7)), PACE, CLOCK_ERROR_NS).unwrap()
}

#[track_caller]
fn assert_none(latency: &WaitEstimates, why: NoClaim) {
    claims(latency).iter().for_each(|(name, claim)| assert_eq!(*claim, Err(why), "{name}"));
}

#[test]
fn without_samples_there_is_no_estimate_and_with_few_no_claim() {
    let mut ages = Ages::new();
    assert_eq!(estimate(&ages, PACE, CLOCK_ERROR_NS), None);
    for tick in 0..20 {
        ages.add(u64::from(tick) * 100_000, 0, tick);
    }
    assert_none(&estimate(&ages, PACE, CLOCK_ERROR_NS).unwrap(), NoClaim::TooFewSamples);
}

#[test]
fn a_run_of_few_ticks_claims_nothing() {
    let (_, load) = LOADS[0];
    let ages = load.run(15, &mut Random(1));
    assert_none(&estimate(&ages, Pace { ticks: 15, ..PACE }, CLOCK_ERROR_NS).unwrap(), NoClaim::TooFewTicks);
}

#[test]
fn idle_threads_alone_claim_nothing_however_many_samples_there_are() {
    let mut ages = Ages::new();
    for tick in 0..TICKS {
        (0..100).for_each(|thread| ages.add(1_000_000_000 * thread * 3600 + u64::from(tick) * PERIOD_NS, 4, tick));
    }
    assert_none(&estimate(&ages, PACE, CLOCK_ERROR_NS).unwrap(), NoClaim::TooFewSamples);
}

#[test]
fn an_idle_thread_among_busy_ones_forbids_the_mean_alone() {
    let (_, load) = LOADS[0];
    let mut ages = load.run(TICKS, &mut Random(3));
    (0..TICKS).for_each(|tick| ages.add(3_600_000_000_000 + u64::from(tick) * PERIOD_NS, 4, tick));
    let latency = estimate(&ages, PACE, CLOCK_ERROR_NS).unwrap();
    assert_eq!(latency.mean_wait_ms, Err(NoClaim::LongerThanRun));
    assert!(latency.waits_s.is_ok() && latency.p50_wait_ms.is_ok() && latency.p99_wait_ms.is_ok(), "{latency:?}");
}

#[test]
fn waits_as_short_as_the_clocks_error_are_not_claimed() {
    let short = load(Durations::Constant(15e-6), 15e-6);
    assert!(claims(&seen(short)).iter().all(|(_, claim)| claim.is_err()), "{:?}", seen(short));
    // Most waits are too short, some are not.
    let most = Load { threads: 50, ..load(Durations::TwoHumps(20e-6, 5e-3, 0.05), 1e-3) };
    assert_none(&seen(most), NoClaim::ClockError);
    let (_, load) = LOADS[0];
    let ages = load.run(TICKS, &mut Random(1));
    assert_none(&estimate(&ages, PACE, 10_000_000).unwrap(), NoClaim::ClockError);
}

#[test]
fn irregular_ticks_do_not_bias() {
    for (name, load) in [LOADS[3], MORE[2]] {
        for load in [Load { jitter: 1.0, ..load }, Load { missed: 0.2, ..load }] {
            for outcome in &outcomes(load, 100, 1)[..2] {
                assert!(outcome.coverage() > 0.88, "{name}: {}", outcome.line());
            }
        }
    }
}

#[test]
fn ticks_that_see_threads_late_claim_what_is_so_or_nothing() {
    // In one tick of ten psn gets a CPU ten times as late.
    for (name, load) in [LOADS[0], LOADS[1], LOADS[2], LOADS[3]] {
        for (late, pass) in [(60e-6, 100e-6), (100e-6, 300e-6), (300e-6, 3e-3)] {
            let load = Load { late, pass, ..load };
            for outcome in &outcomes(load, 60, 1)[..2] {
                let is_covered = outcome.claims < 20 || outcome.coverage() > 0.85;
                assert!(is_covered && outcome.has_only(NoClaim::SeenLate, 10), "{name}, {late} s: {}", outcome.line());
            }
        }
    }
    // Waits of 200 ms are told with what is usual on a host with a thousand threads.
    let load = Load { late: 60e-6, pass: 100e-6, ..LOADS[3].1 };
    assert!(outcomes(load, 60, 1)[0].claims > 50);
}

#[test]
fn waits_that_are_too_short_to_be_seen_forbid_claims() {
    // Threads are seen up to 0.4 ms late: of the many waits of 0.1 ms few samples tell, but that they begin.
    let waits = Durations::TwoHumps(0.1e-3, 50e-3, 0.1);
    let late = Load { late: 10e-6, pass: 0.4e-3, ..load(waits, 1e-3) };
    for run in 0..20 {
        let (ages, pace, unseen) = late.run_with_pace(TICKS, &mut Random(run));
        let latency = super::estimate(&ages, pace, &unseen, CLOCK_ERROR_NS).unwrap();
        assert!(claims(&latency).iter().all(|(_, claim)| claim.is_err()), "{latency:?}");
    }
}

#[test]
fn where_threads_are_seen_too_late_nothing_is_claimed() {
    let late = Load { late: 20e-3, ..LOADS[0].1 };
    let (ages, pace, unseen) = late.run_with_pace(TICKS, &mut Random(1));
    assert_none(&super::estimate(&ages, pace, &unseen, CLOCK_ERROR_NS).unwrap(), NoClaim::SeenLate);
}

#[test]
fn with_an_exact_clock_waits_of_a_fifth_of_a_millisecond_are_claimed() {
    let load = Load { clock_error: 0.0, ..load(Durations::Exponential(200e-6), 200e-6) };
    let (mut claimed, mut covered) = (0, 0);
    for run in 0..60 {
        let rate = estimate(&load.run(TICKS, &mut Random(run)), PACE, 0).unwrap().waits_s;
        claimed += i32::from(rate.is_ok());
        covered += i32::from(rate.is_ok_and(|rate| rate.low <= load.rate() && load.rate() <= rate.high));
    }
    assert!(claimed > 55 && covered * 10 >= claimed * 9, "{covered} of {claimed}");
}

#[test]
fn a_percentile_of_waits_that_are_too_rare_is_not_claimed() {
    let latency = seen(Load { threads: 4, ..load(Durations::Exponential(0.5), 1.0) });
    assert!(latency.waits_s.is_ok() && latency.p50_wait_ms.is_ok(), "{latency:?}");
    assert_eq!(latency.p99_wait_ms, Err(NoClaim::TooFewSamples));
}

#[test]
fn what_is_claimed_of_few_samples_is_not_far_off() {
    let mut claimed = 0;
    for run in 0..300 {
        let load = Load { threads: 1, ..load(Durations::TwoHumps(0.2e-3, 50e-3, 0.01), 1e-3) };
        let latency = estimate(&load.run(TICKS, &mut Random(run)), PACE, CLOCK_ERROR_NS).unwrap();
        for ((name, claim), (least, greatest)) in claims(&latency).into_iter().zip(load.truth()) {
            let Claim::Ok(found) = claim else { continue };
            claimed += 1;
            assert!(found.low < 3.0 * greatest && found.high > least / 3.0, "{name} {found:?}");
        }
    }
    assert!(claimed < 1000, "{claimed} of 1500");
}

#[test]
fn a_load_that_comes_and_goes_has_wider_intervals() {
    let (_, load) = LOADS[0];
    let steady = load.run(TICKS, &mut Random(1));
    let mut bursts = Ages::new();
    for burst in 0..6 {
        // For 5 s of 10, all ticks of a run put together.
        let ages = load.run(100, &mut Random(burst));
        ages.buckets().iter().zip(0..).for_each(|((low, count), nth)| {
            (0..*count)
                .for_each(|one| bursts.add(*low, 0, u32::try_from(burst).unwrap() * 200 + (nth + one as u32) % 100));
        });
    }
    let width = |ages: &Ages| {
        let rate = estimate(ages, PACE, CLOCK_ERROR_NS).unwrap().waits_s.unwrap();
        (rate.high - rate.low) / rate.value
    };
    assert!(width(&bursts) > 2.0 * width(&steady), "{} {}", width(&bursts), width(&steady));
}
