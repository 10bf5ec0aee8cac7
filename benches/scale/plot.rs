//! A plot of cost against size, both on logarithmic scales, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;
const COLOURS: [&str; 3] = ["#0b5d3b", "#1d4ed8", "#c2410c"];

/// A line of the plot: a name, and points of items and microseconds.
pub(crate) type Curve = (String, Vec<(f64, f64)>);

/// Draws the curves; nothing if there is no point.
pub(crate) fn svg(title: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let span = |of: fn((f64, f64)) -> f64| {
        let logs = points().map(|point| of(point).log10());
        (logs.clone().fold(f64::INFINITY, f64::min).floor(), logs.fold(f64::NEG_INFINITY, f64::max).ceil())
    };
    let ((left, right), (bottom, top)) = (span(|point| point.0), span(|point| point.1));
    let x = |items: f64| MARGIN + (items.log10() - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |micros: f64| HEIGHT - MARGIN - (micros.log10() - bottom) / (top - bottom) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"24\" text-anchor=\"middle\" font-size=\"14\">{title}</text>\n",
        WIDTH / 2.0
    );
    let mut line = |from: (f64, f64), to: (f64, f64), label: (f64, f64, String)| {
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            from.0, from.1, to.0, to.1, label.0, label.1, label.2
        );
    };
    for power in left as i32..=right as i32 {
        let at = x(10f64.powi(power));
        let label = (at, HEIGHT - MARGIN + 18.0, format!("{}", 10u64.pow(power as u32)));
        line((at, MARGIN), (at, HEIGHT - MARGIN), label);
    }
    for power in bottom as i32..=top as i32 {
        for step in [1.0, 2.0, 5.0] {
            let micros = step * 10f64.powi(power);
            if micros <= 10f64.powf(top) {
                let at = y(micros);
                line((MARGIN, at), (WIDTH - MARGIN, at), (MARGIN - 22.0, at + 4.0, format!("{micros}")));
            }
        }
    }
    for ((name, points), colour) in curves.iter().zip(COLOURS.into_iter().cycle()) {
        let path: String =
            points.iter().map(|&(items, micros)| format!("{:.1},{:.1} ", x(items), y(micros))).collect();
        let _ = writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        for &(items, micros) in points {
            let _ =
                writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(items), y(micros));
        }
        if let Some(&(items, micros)) = points.last() {
            let (at, above) = (x(items), y(micros) - 8.0);
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{above:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>"
            );
        }
    }
    svg + "</svg>\n"
}
