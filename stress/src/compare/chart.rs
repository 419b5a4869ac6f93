//! Two charts in SVG: self-contained, on a white ground, each line named at its end.

use std::fmt::Write as _;

use super::figures::{Comparison, Measurement, StepFigures, Storm};
use super::table::{SERIES, is_throughput};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 520.0;
/// The plot's edges: left, top, right, bottom. The names of the lines are to its right.
const PLOT: (f64, f64, f64, f64) = (76.0, 76.0, 590.0, 450.0);
/// The least distance between two names.
const NAME_HEIGHT: f64 = 17.0;

/// Told apart by most with any colour vision, and on paper by their dashes.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#5b4b8a", "#a6761d", "#444444", "#56b4e9"];

/// A line.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    /// Bare loops are dashed.
    is_dashed: bool,
}

/// An axis: from its least to its largest value, by equal steps or by equal factors.
struct Axis {
    label: String,
    min: f64,
    max: f64,
    is_log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        if self.is_log {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        }
    }
}

/// CPU time per thread and tick, against the number of threads.
pub(super) fn cost(comparison: &Comparison) -> String {
    let Some(first) = comparison.storms.first() else { return empty() };
    let alike: Vec<&Storm> = comparison
        .storms
        .iter()
        .filter(|storm| storm.is_many == first.is_many && (storm.is_many || storm.processes == first.processes))
        .collect();
    // What differs from another line by its listing alone is in the table.
    let steps =
        first.steps.iter().filter(|step| !is_throughput(step) && step.id != "psn-unlisted" && step.id != "floor-list");
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
    chart(
        "CPU time per thread and tick",
        &format!("all threads asleep, one worker, {layout}; {}", subtitle(comparison)),
        &log_axis("threads on the host", &threads, threads.clone()),
        &log_axis("CPU µs per thread and tick", &values(&lines), Vec::new()),
        &lines,
    )
}

/// Threads visited in a second, against the number of workers.
pub(super) fn throughput(comparison: &Comparison) -> String {
    let largest = comparison.storms.iter().map(|storm| storm.threads).max().unwrap_or(0);
    let storms: Vec<&Storm> = comparison.storms.iter().filter(|storm| storm.threads == largest).collect();
    let mut lines = Vec::new();
    for storm in &storms {
        for id in SERIES {
            let steps: Vec<&StepFigures> = storm
                .steps
                .iter()
                .filter(|step| is_throughput(step) && step.id.split('@').next() == Some(id))
                .collect();
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
    let workers: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    let most = values(&lines).into_iter().fold(0.0, f64::max);
    let step = nice_step(most / 6.0);
    let ticks: Vec<f64> = (0..).map(|tick| f64::from(tick) * step).take_while(|tick| *tick < most + step).collect();
    let y = Axis {
        label: "million threads visited per second".to_owned(),
        min: 0.0,
        max: ticks.last().copied().unwrap_or(1.0).max(1e-6),
        is_log: false,
        ticks,
    };
    chart(
        "Threads visited per second",
        &format!("flat out, {largest} threads asleep; {}", subtitle(comparison)),
        &workers_axis(workers),
        &y,
        &lines,
    )
}

/// From one worker on by equal steps: what doubles with the workers is a straight line.
fn workers_axis(mut workers: Vec<f64>) -> Axis {
    workers.sort_by(f64::total_cmp);
    workers.dedup();
    let (min, max) = (workers.first().copied().unwrap_or(1.0), workers.last().copied().unwrap_or(1.0));
    Axis { label: "workers".to_owned(), min, max: max.max(min + 1.0), is_log: false, ticks: workers }
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

/// An axis of equal factors around `values`; its ticks are those given, or 1, 2 and 5 of every power of ten.
fn log_axis(label: &str, values: &[f64], mut ticks: Vec<f64>) -> Axis {
    let (min, max) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
    let (min, max) = if min < max { (min, max) } else { (max.max(1e-6) / 1.5, max.max(1e-6) * 1.5) };
    let (min, max) = if ticks.is_empty() { (min / 1.15, max * 1.15) } else { (min, max) };
    if ticks.is_empty() {
        let decades = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
        ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade))).collect();
    }
    ticks.retain(|tick| (min..=max).contains(tick));
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    Axis { label: label.to_owned(), min, max, is_log: true, ticks }
}

/// 1, 2 or 5 times a power of ten, and at least `least`.
fn nice_step(least: f64) -> f64 {
    let least = least.max(1e-6);
    let unit = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * unit).find(|step| *step >= least).unwrap_or(unit)
}

fn chart(title: &str, subtitle: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let (left, top, right, bottom) = PLOT;
    let across = |value: f64| left + x.place(value) * (right - left);
    let down = |value: f64| bottom - y.place(value) * (bottom - top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"30\" font-size=\"18\" font-weight=\"600\" fill=\"#222222\">{title}</text>\n\
         <text x=\"{left}\" y=\"50\" font-size=\"12\" fill=\"#555555\">{subtitle}</text>\n",
        title = escape(title),
        subtitle = escape(subtitle),
    );
    for tick in &y.ticks {
        let at = down(*tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{}</text>",
            left - 8.0,
            at + 4.5,
            number(*tick)
        );
    }
    for tick in &x.ticks {
        let at = across(*tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#444444\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">{}</text>",
            bottom + 5.0,
            bottom + 21.0,
            number(*tick)
        );
    }
    let _ = writeln!(
        svg,
        "<line x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#444444\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>\n\
         <text transform=\"translate(22 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
        f64::midpoint(left, right),
        bottom + 46.0,
        escape(&x.label),
        f64::midpoint(top, bottom),
        escape(&y.label),
    );
    let ends: Vec<f64> = lines.iter().map(|line| line.points.last().map_or(bottom, |point| down(point.1))).collect();
    for ((line, colour), name_at) in lines.iter().zip(COLOURS.iter().cycle()).zip(apart(&ends)) {
        let Some((last_x, last_y)) = line.points.last() else { continue };
        let path: Vec<String> = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
        let dashes = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            path.join(" ")
        );
        for (x, y) in &line.points {
            let _ =
                writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\" fill=\"{colour}\"/>", across(*x), down(*y));
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1},{:.1} L{:.1},{name_at:.1}\" stroke=\"{colour}\" fill=\"none\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11.5\" fill=\"#333333\">{:.2} {}</text>",
            across(*last_x) + 5.0,
            down(*last_y),
            right + 22.0,
            right + 26.0,
            name_at + 4.0,
            last_y,
            escape(&shortened(&line.name)),
        );
    }
    svg + "</svg>\n"
}

/// The places, moved so far apart that names there do not touch.
fn apart(places: &[f64]) -> Vec<f64> {
    let (_, top, _, bottom) = PLOT;
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let mut moved = places.to_vec();
    let mut least = top;
    for place in &order {
        moved[*place] = moved[*place].max(least);
        least = moved[*place] + NAME_HEIGHT;
    }
    let mut most = bottom;
    for place in order.iter().rev() {
        moved[*place] = moved[*place].min(most);
        most = moved[*place] - NAME_HEIGHT;
    }
    moved
}

/// What fits beside the plot.
fn shortened(name: &str) -> String {
    const ROOM: usize = 58;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    name.chars().take(ROOM - 1).chain(std::iter::once('…')).collect()
}

fn number(value: f64) -> String {
    if value >= 1000.0 && value % 1000.0 == 0.0 {
        return format!("{},000", value / 1000.0);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn empty() -> String {
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"/>\n")
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write the others.
            _ if letter.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::comparison;
    use super::*;

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

    #[test]
    fn names_stay_apart_and_inside() {
        let (_, top, _, bottom) = PLOT;
        let moved = apart(&[bottom, bottom, 100.0, bottom - 1.0, top - 50.0]);
        let mut sorted = moved.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{sorted:?}");
        assert!(sorted[0] >= top && *sorted.last().unwrap() <= bottom);
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(log_axis("", &[3.0, 60.0], Vec::new()).ticks, [5.0, 10.0, 20.0, 50.0]);
        assert!((nice_step(0.013) - 0.02).abs() < 1e-12 && (nice_step(1.0) - 1.0).abs() < 1e-12);
        assert_eq!([number(100_000.0), number(0.05), number(2.0)], ["100,000", "0.05", "2"]);
    }
}
