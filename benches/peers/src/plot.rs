//! Latency over throughput as one SVG. It needs no script and no font of its own, and follows the reader's light
//! or dark mode.

use std::fmt::Write;

/// The points of an engine, ordered by the submissions in flight.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// The name of the engine.
    pub(crate) name: String,
    /// The points, at least one.
    pub(crate) points: Vec<Point>,
}

/// The results of an engine with a number of submissions in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The submissions in flight.
    pub(crate) in_flight: usize,
    /// The throughput.
    pub(crate) updates_per_second: f64,
    /// The median of the durable latency, milliseconds.
    pub(crate) p50_ms: f64,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = WIDTH - 24.0;
const PLOT_HEIGHT: f64 = 360.0;
const LEGEND_ROW: f64 = 20.0;
const LEGEND_COLUMNS: usize = 3;

/// The colours of the engines, light and dark.
const COLOURS: [(&str, &str); 8] = [
    ("#2a78d6", "#5b9ff0"),
    ("#d9730d", "#ef9245"),
    ("#158f68", "#35b98c"),
    ("#7a4fc4", "#a98bea"),
    ("#b98200", "#d8a72c"),
    ("#d63b3a", "#f0706d"),
    ("#0f8aa0", "#3fb8cc"),
    ("#7d7a74", "#98958e"),
];

/// Returns the plot of some curves.
pub(crate) fn svg(curves: &[Curve]) -> String {
    let axes = Axes::of(curves);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Durable latency over throughput, by submissions in flight\">\n{}",
        axes.bottom + 46.0,
        style(),
    );
    text.push_str("<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
    legend(&mut text, curves);
    axes.draw(&mut text);
    for (index, curve) in curves.iter().enumerate() {
        draw(&mut text, &axes, colour(index), curve);
    }
    text.push_str("</svg>\n");
    text
}

fn colour(index: usize) -> usize {
    index % COLOURS.len() + 1
}

fn style() -> String {
    let mut light = mode("#fffefc", "#1c1b19", "#66645f", "#e3e1db");
    let mut dark = mode("#1d1d1b", "#f0efeb", "#a5a29b", "#34332f");
    for (index, pair) in COLOURS.iter().enumerate() {
        let number = colour(index);
        for (rules, colour) in [(&mut light, pair.0), (&mut dark, pair.1)] {
            let _ = writeln!(
                rules,
                ".c{number} {{ stroke: {colour} }} .d{number} {{ fill: {colour} }}"
            );
        }
    }
    format!(
        "<style>
text {{ font: 12px system-ui, sans-serif }} .middle {{ text-anchor: middle }} .end {{ text-anchor: end }}
.halo {{ font-weight: 600 }}
.line {{ fill: none; stroke-width: 2 }} .halo {{ paint-order: stroke; stroke-width: 3px }}
{light}@media (prefers-color-scheme: dark) {{
{dark}}}
</style>"
    )
}

fn mode(page: &str, strong: &str, soft: &str, rule: &str) -> String {
    format!(
        ".page {{ fill: {page} }} .halo {{ stroke: {page} }} text {{ fill: {soft} }} .strong {{ fill: {strong} }} .rule {{ stroke: {rule} }}\n"
    )
}

fn legend_height(curves: &[Curve]) -> f64 {
    curves.len().div_ceil(LEGEND_COLUMNS) as f64 * LEGEND_ROW
}

fn legend(text: &mut String, curves: &[Curve]) {
    for (index, curve) in curves.iter().enumerate() {
        let column = (index % LEGEND_COLUMNS) as f64;
        let x = LEFT + column * (RIGHT - LEFT) / LEGEND_COLUMNS as f64;
        let y = 18.0 + (index / LEGEND_COLUMNS) as f64 * LEGEND_ROW;
        let colour = colour(index);
        let _ = writeln!(
            text,
            "<path class=\"line c{colour}\" d=\"M{x:.1} {y:.1}h20\"/><circle class=\"d{colour}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/><text class=\"strong\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 10.0,
            x + 28.0,
            y + 4.0,
            curve.name,
        );
    }
}

fn draw(text: &mut String, axes: &Axes, colour: usize, curve: &Curve) {
    let places: Vec<(f64, f64)> = curve.points.iter().map(|point| axes.place(point)).collect();
    let path = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}"));
    let path = path.collect::<Vec<_>>().join("L");
    let _ = writeln!(text, "<path class=\"line c{colour}\" d=\"M{path}\"/>");
    for (point, (x, y)) in curve.points.iter().zip(&places) {
        let _ = writeln!(
            text,
            "<circle class=\"d{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}, {} in flight: {:.0} updates a second, p50 {:.2} ms</title></circle><text class=\"d{colour} end halo\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            curve.name,
            point.in_flight,
            point.updates_per_second,
            point.p50_ms,
            x - 6.0,
            y - 5.0,
            point.in_flight,
        );
    }
}

/// The axes: throughput from 0 to the right, the logarithm of the latency upwards.
struct Axes {
    top: f64,
    bottom: f64,
    rate_step: f64,
    rate_max: f64,
    /// The ends of the latency axis, milliseconds.
    latency: (f64, f64),
}

impl Axes {
    fn of(curves: &[Curve]) -> Self {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let rates = points().map(|point| point.updates_per_second);
        let rate_step = round_up(rates.clone().fold(1.0, f64::max) / 6.0);
        let latencies = || points().map(|point| point.p50_ms);
        let least = latencies().fold(f64::INFINITY, f64::min).min(1e6);
        let top = legend_height(curves) + 34.0;
        Self {
            top,
            bottom: top + PLOT_HEIGHT,
            rate_step,
            rate_max: (rates.fold(1.0, f64::max) / rate_step).ceil() * rate_step,
            latency: (
                round_down(least),
                round_up(latencies().fold(least, f64::max) * 1.05),
            ),
        }
    }

    fn place(&self, point: &Point) -> (f64, f64) {
        (self.x(point.updates_per_second), self.y(point.p50_ms))
    }

    fn x(&self, rate: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * rate / self.rate_max
    }

    fn y(&self, latency_ms: f64) -> f64 {
        let (least, greatest) = self.latency;
        let part = (latency_ms / least).ln() / (greatest / least).ln();
        self.bottom - (self.bottom - self.top) * part
    }

    fn draw(&self, text: &mut String) {
        let steps = (self.rate_max / self.rate_step).round() as usize;
        for rate in (0..=steps).map(|step| step as f64 * self.rate_step) {
            let x = self.x(rate);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M{x:.1} {:.1}V{:.1}\"/><text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                self.top,
                self.bottom,
                self.bottom + 18.0,
                rounded(rate),
            );
        }
        let mut latency = self.latency.0;
        while latency <= self.latency.1 * 1.001 {
            let y = self.y(latency);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{latency} ms</text>",
                LEFT - 8.0,
                y + 4.0,
            );
            latency = round_up(latency * 1.01);
        }
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{:.1}\">Median durable latency; a point's number is what is in flight</text><text class=\"end\" x=\"{RIGHT}\" y=\"{:.1}\">Durable updates a second</text>",
            self.top - 10.0,
            self.bottom + 36.0,
        );
    }
}

fn rounded(rate: f64) -> String {
    if rate < 1e6 {
        format!("{}k", rate / 1e3)
    } else {
        format!("{}M", rate / 1e6)
    }
}

/// Returns the next of 1, 2, 5, 10, 20, and so on.
fn round_up(figure: f64) -> f64 {
    let decade = 10_f64.powf(figure.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let next = steps.into_iter().find(|&step| step >= figure * 0.999_999);
    next.unwrap_or(10.0 * decade)
}

/// Returns the last of 1, 2, 5, 10, 20, and so on.
fn round_down(figure: f64) -> f64 {
    1.0 / round_up(1.0 / figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[(usize, f64, f64)]) -> Curve {
        let point = |&(in_flight, updates_per_second, p50_ms)| Point {
            in_flight,
            updates_per_second,
            p50_ms,
        };
        Curve {
            name: name.to_owned(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn scales_end_at_round_figures() {
        assert_eq!(
            [0.7, 1.0, 1.1, 30.0, 6e5].map(round_up),
            [1.0, 1.0, 2.0, 50.0, 1e6]
        );
        assert_eq!([0.7, 1.0, 1.1, 30.0].map(round_down), [0.5, 1.0, 1.0, 20.0]);
    }

    #[test]
    fn throughput_goes_right_and_latency_goes_up() {
        let curves = [curve("one", &[(1, 7e5, 14.0), (8, 1.3e6, 54.0)])];
        let axes = Axes::of(&curves);
        let [slow, fast] = [0, 1].map(|index| axes.place(&curves[0].points[index]));
        assert!(slow.0 < fast.0 && slow.1 > fast.1);
        for (x, y) in [slow, fast] {
            assert!((LEFT..=RIGHT).contains(&x) && (axes.top..=axes.bottom).contains(&y));
        }
    }

    #[test]
    fn every_point_is_drawn() {
        let curves = [
            curve("one", &[(1, 7e5, 14.0), (8, 1.3e6, 54.0)]),
            curve("two", &[(1, 5e5, 20.0)]),
        ];
        let text = svg(&curves);
        assert_eq!(text.matches("<title>").count(), 3);
        assert!(text.contains("two, 1 in flight: 500000 updates a second, p50 20.00 ms"));
    }
}
