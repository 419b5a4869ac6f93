//! The two charts of a comparison.

use crate::chart::axis::Axis;
use crate::chart::svg::{Chart, Line, empty};
use crate::compare::figures::{Comparison, Measurement, SERIES, StepFigures, StormFigures};

/// CPU time per thread and tick, against the number of threads.
pub(super) fn cost(comparison: &Comparison) -> String {
    let Some(first) = comparison.storms.first() else { return empty() };
    let alike: Vec<&StormFigures> = comparison
        .storms
        .iter()
        .filter(|storm| storm.is_many == first.is_many && (storm.is_many || storm.processes == first.processes))
        .collect();
    // Two steps differ from others only in how they list tasks; only the table shows them.
    let steps =
        first.steps.iter().filter(|step| !step.is_throughput() && step.id != "psn-unlisted" && step.id != "floor-list");
    let lines: Vec<Line> = steps
        .map(|step| Line {
            name: step.name.clone(),
            points: points(&alike, |storm| Some((f64::from(storm.threads), storm.step(&step.id)?.us()?.median))),
            is_dashed: step.id.starts_with("floor"),
        })
        .collect();
    let layout = if first.is_many {
        "one process for every 100 threads".to_owned()
    } else {
        format!("processes: {}", first.processes)
    };
    let threads: Vec<f64> = alike.iter().map(|storm| f64::from(storm.threads)).collect();
    let chart = Chart {
        title: "CPU time per thread and tick".to_owned(),
        subtitle: format!("all threads asleep, one worker, {layout}; {}", subtitle(comparison)),
        x: Axis::log_at("threads on the host", &threads),
        y: Axis::log_around("CPU µs per thread and tick", &values(&lines)),
        lines,
    };
    chart.svg()
}

/// Threads visited in a second, against the number of workers.
pub(super) fn throughput(comparison: &Comparison) -> String {
    let largest = comparison.storms.iter().map(|storm| storm.threads).max().unwrap_or(0);
    let storms: Vec<&StormFigures> = comparison.storms.iter().filter(|storm| storm.threads == largest).collect();
    let mut lines = Vec::new();
    for storm in &storms {
        for id in SERIES {
            let steps: Vec<&StepFigures> =
                storm.steps.iter().filter(|step| step.is_throughput() && step.base() == id).collect();
            let Some(first) = steps.first() else { continue };
            let name = first.name.rsplit_once(',').map_or(first.name.as_str(), |(name, _)| name);
            let layout =
                if storm.processes == 1 { "one process".to_owned() } else { format!("{} processes", storm.processes) };
            lines.push(Line {
                name: format!("{name}, {layout}"),
                points: points(&steps, |step| {
                    Some((step.workers as f64, step.spread(Measurement::visits_per_s)?.median / 1e6))
                }),
                is_dashed: id.starts_with("floor"),
            });
        }
    }
    let workers = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    let most = values(&lines).into_iter().fold(0.0, f64::max);
    let chart = Chart {
        title: "Threads visited per second".to_owned(),
        subtitle: format!("flat out, {largest} threads asleep; {}", subtitle(comparison)),
        // Linear axes: a rate that doubles with the workers is a straight line.
        x: Axis::linear_at("workers", workers),
        y: Axis::from_zero("million threads visited per second", most),
        lines,
    };
    chart.svg()
}

fn points<T>(of: &[T], point: impl Fn(&T) -> Option<(f64, f64)>) -> Vec<(f64, f64)> {
    of.iter().filter_map(point).filter(|(x, y)| *x > 0.0 && *y > 0.0 && y.is_finite()).collect()
}

fn values(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).collect()
}

fn subtitle(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    format!(
        "{}, {} cores, Linux {}, {}",
        machine.cpu,
        machine.cores,
        machine.kernel,
        comparison.started.split('T').next().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;

    #[test]
    fn names_are_escaped_and_every_line_is_there() {
        let svg = cost(&comparison());
        assert!(svg.contains("&lt;psn&gt;") && !svg.contains("<psn>"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("stroke-dasharray") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_comparison_of_nothing_is_an_empty_chart() {
        let mut comparison = comparison();
        comparison.storms.clear();
        assert!(cost(&comparison).starts_with("<svg") && !throughput(&comparison).contains("NaN"));
    }
}
