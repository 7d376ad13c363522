//! The figures as an SVG: throughput over the number of tasks, one line a strategy.
//!
//! Written by hand: two axes, six lines, and labels at the lines' ends in place of a legend. The background is white
//! in every viewer, so that the plot can be read on a dark page too.

use std::fmt::Write as _;

use super::Figure;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 54.0;

/// Colours that people with the common colour blindnesses can tell apart (Okabe and Ito's set).
const COLOURS: [&str; 6] = [
    "#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#009E73", "#0072B2",
];

/// Least distance between two labels at the right edge.
const LABEL_GAP: f64 = 16.0;

/// The plot as a whole SVG document. Both axes are logarithmic: the tasks double from tick to tick, and the
/// strategies are too far apart for a linear scale.
pub fn svg(title: &str, figures: &[Figure]) -> String {
    let mut tasks: Vec<usize> = figures.iter().map(|f| f.tasks).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let (Some(&fewest), Some(&most)) = (tasks.first(), tasks.last()) else {
        return String::from("<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n");
    };
    let span = |low: f64, high: f64| (high / low).ln().max(1e-9);
    let x_span = span(fewest as f64, most as f64);
    let x =
        |tasks: usize| LEFT + (tasks as f64 / fewest as f64).ln() / x_span * (WIDTH - LEFT - RIGHT);
    let millions = |f: &Figure| (f.throughput / 1e6).max(1e-6);
    let low = nice_below(figures.iter().map(millions).fold(f64::MAX, f64::min));
    let high = nice_above(figures.iter().map(millions).fold(0.0, f64::max));
    let y_span = span(low, high);
    let y = |value: f64| HEIGHT - BOTTOM - (value / low).ln() / y_span * (HEIGHT - TOP - BOTTOM);

    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\" font-weight=\"bold\" fill=\"#222\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"44\" fill=\"#555\">million operations per second, all tasks together; both axes logarithmic</text>",
        escape(title)
    );
    for value in ticks(low, high) {
        let at = y(value);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{value}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.5
        );
    }
    for &n in &tasks {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{n}</text>",
            x(n),
            HEIGHT - BOTTOM + 20.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222\">tasks, each on its own thread</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - BOTTOM + 42.0
    );
    let mut labels = Vec::new();
    for (row, colour) in figures
        .chunk_by(|a, b| a.strategy == b.strategy)
        .zip(COLOURS.iter().cycle())
    {
        let points: Vec<String> = row
            .iter()
            .map(|f| format!("{:.1},{:.1}", x(f.tasks), y(millions(f))))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            points.join(" ")
        );
        for f in row {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"><title>{}, {} tasks: {:.2} million/s</title></circle>",
                x(f.tasks),
                y(millions(f)),
                escape(f.strategy),
                f.tasks,
                f.throughput / 1e6
            );
        }
        if let Some(last) = row.last() {
            labels.push((y(millions(last)), last.strategy, *colour));
        }
    }
    spread(&mut labels);
    for (at, strategy, colour) in labels {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"bold\">{}</text>",
            WIDTH - RIGHT + 12.0,
            at + 4.5,
            escape(strategy)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Moves labels apart that would overlap: downwards from the top, then up again from the bottom edge.
fn spread(labels: &mut [(f64, &'static str, &str)]) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    for i in 1..labels.len() {
        labels[i].0 = labels[i].0.max(labels[i - 1].0 + LABEL_GAP);
    }
    let mut floor = HEIGHT - 10.0;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(floor);
        floor = label.0 - LABEL_GAP;
    }
}

/// 1, 2 and 5 times the powers of ten from `low` to `high`.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut exponent = low.log10().floor() as i32;
    while 10f64.powi(exponent) <= high * 1.001 {
        for step in [1.0, 2.0, 5.0] {
            // Dividing keeps 0.1 and 0.2 free of rounding noise when they are printed.
            let tick = if exponent < 0 {
                step / 10f64.powi(-exponent)
            } else {
                step * 10f64.powi(exponent)
            };
            if (low * 0.999..=high * 1.001).contains(&tick) {
                ticks.push(tick);
            }
        }
        exponent += 1;
    }
    ticks
}

/// The largest tick not above `value`.
fn nice_below(value: f64) -> f64 {
    ticks(value / 10.0, value).pop().unwrap_or(value)
}

/// The smallest tick not below `value`.
fn nice_above(value: f64) -> f64 {
    ticks(value, value * 10.0).first().copied().unwrap_or(value)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_that_enclose_the_data() {
        assert_eq!(ticks(0.1, 2.0), [0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(nice_below(0.37), 0.2);
        assert_eq!(nice_above(0.37), 0.5);
        assert_eq!(nice_above(31.0), 50.0);
    }

    #[test]
    fn labels_do_not_overlap() {
        let mut labels = vec![(445.0, "a", ""), (444.0, "b", ""), (10.0, "c", "")];
        spread(&mut labels);
        assert!(
            labels
                .windows(2)
                .all(|pair| pair[1].0 - pair[0].0 >= LABEL_GAP)
        );
        assert!(labels.iter().all(|label| label.0 <= HEIGHT - 10.0));
    }

    #[test]
    fn a_plot_has_a_line_and_a_label_for_each_strategy() {
        let figure = |strategy, tasks, throughput| Figure {
            strategy,
            tasks,
            throughput,
            latency_us: [0.0; 3],
        };
        let figures = [
            figure("a", 1, 1e6),
            figure("a", 16, 2e5),
            figure("b<c", 1, 3e6),
            figure("b<c", 16, 3e7),
        ];
        let svg = svg("90 % get & 10 % set", &figures);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains(">b&lt;c</text>") && svg.contains("get &amp; 10"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
