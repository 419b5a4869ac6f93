//! A chart as SVG: self-contained, on a white ground, with a name at the end of each line.

use std::fmt::{self, Write as _};

use super::axis::Axis;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 520.0;
/// The plot's edges: left, top, right, bottom. The names of the lines are to its right.
const PLOT: (f64, f64, f64, f64) = (76.0, 76.0, 590.0, 450.0);
/// The least distance between two names.
const NAME_HEIGHT: f64 = 17.0;

/// Colours that people with any colour vision can tell apart; on paper the dashes differ.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#5b4b8a", "#a6761d", "#444444", "#56b4e9"];

/// A line of a chart.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Ascending in x.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_dashed: bool,
}

/// A chart.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

impl Chart {
    /// The chart as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut svg = self.heading();
        // Writing to a string does not fail.
        let _ = self.write_marks(&mut svg);
        let _ = self.write_labels(&mut svg);
        let _ = self.write_lines(&mut svg);
        svg + "</svg>\n"
    }

    /// The distance of a value of x from the left.
    fn across(&self, value: f64) -> f64 {
        let (left, _, right, _) = PLOT;
        left + self.x.position(value) * (right - left)
    }

    /// The distance of a value of y from the top.
    fn down(&self, value: f64) -> f64 {
        let (_, top, _, bottom) = PLOT;
        bottom - self.y.position(value) * (bottom - top)
    }

    /// The opening tag, the ground and the titles.
    fn heading(&self) -> String {
        let left = PLOT.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
             <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{left}\" y=\"30\" font-size=\"18\" font-weight=\"600\" fill=\"#222222\">{title}</text>\n\
             <text x=\"{left}\" y=\"50\" font-size=\"12\" fill=\"#555555\">{subtitle}</text>\n",
            title = escape(&self.title),
            subtitle = escape(&self.subtitle),
        )
    }

    /// The marks of both axes, with their numbers.
    fn write_marks(&self, svg: &mut String) -> fmt::Result {
        let (left, _, right, bottom) = PLOT;
        for tick in &self.y.ticks {
            let at = self.down(*tick);
            writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{}</text>",
                left - 8.0,
                at + 4.5,
                number(*tick)
            )?;
        }
        for tick in &self.x.ticks {
            let at = self.across(*tick);
            writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#444444\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">{}</text>",
                bottom + 5.0,
                bottom + 21.0,
                number(*tick)
            )?;
        }
        Ok(())
    }

    /// The line at the bottom of the plot, and the labels of the axes.
    fn write_labels(&self, svg: &mut String) -> fmt::Result {
        let (left, top, right, bottom) = PLOT;
        writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#444444\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>\n\
             <text transform=\"translate(22 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            f64::midpoint(left, right),
            bottom + 46.0,
            escape(&self.x.label),
            f64::midpoint(top, bottom),
            escape(&self.y.label),
        )
    }

    /// The lines, with their names to the right of the plot.
    fn write_lines(&self, svg: &mut String) -> fmt::Result {
        let bottom = PLOT.3;
        let end = |line: &Line| line.points.last().map_or(bottom, |point| self.down(point.1));
        let ends: Vec<f64> = self.lines.iter().map(end).collect();
        for ((line, colour), name_at) in self.lines.iter().zip(COLOURS.iter().cycle()).zip(apart(&ends)) {
            self.write_line(svg, line, colour, name_at)?;
        }
        Ok(())
    }

    fn write_line(&self, svg: &mut String, line: &Line, colour: &str, name_at: f64) -> fmt::Result {
        let right = PLOT.2;
        let Some((last_x, last_y)) = line.points.last() else { return Ok(()) };
        let path: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.across(*x), self.down(*y))).collect();
        let dashes = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            path.join(" ")
        )?;
        for (x, y) in &line.points {
            let (x, y) = (self.across(*x), self.down(*y));
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{colour}\"/>")?;
        }
        writeln!(
            svg,
            "<path d=\"M{:.1},{:.1} L{:.1},{name_at:.1}\" stroke=\"{colour}\" fill=\"none\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11.5\" fill=\"#333333\">{:.2} {}</text>",
            self.across(*last_x) + 5.0,
            self.down(*last_y),
            right + 22.0,
            right + 26.0,
            name_at + 4.0,
            last_y,
            escape(&shortened(&line.name)),
        )
    }
}

/// An empty chart as SVG.
pub(crate) fn empty() -> String {
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"/>\n")
}

/// These positions, moved until names at them do not overlap.
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

/// As much of a name as fits beside the plot.
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

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML cannot represent the other characters.
            _ if letter.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn numbers_have_no_zeros_at_their_ends() {
        assert_eq!([number(100_000.0), number(0.05), number(2.0)], ["100,000", "0.05", "2"]);
    }
}
