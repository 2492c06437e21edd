//! Draws lines over two axes as SVG. Colours are classes, so that the page's style sets them for light and dark. The
//! browser's tooltip shows the figures at a time, without a script.

use std::fmt::Write;

use maud::{Markup, html};

use super::label::Unit;
use super::scale::{Scale, bounded, round_up, thinned};

/// Width of every plot, pixels of the SVG.
pub(super) const WIDTH: f64 = 760.0;
/// Left end of the axes. Labels are left of it.
pub(super) const LEFT: f64 = 64.0;
/// Right end of the axes.
pub(super) const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 10.0;
const BELOW: f64 = 24.0;

/// Most columns with a tooltip.
const COLUMNS_MAX: usize = 240;
/// Most markers that are drawn.
const MARKERS_MAX: usize = 400;
/// Least distance of two numbered markers.
const NUMBERS_APART: f64 = 17.0;

/// The style of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Solid,
    Dashed,
    Thin,
    Filled,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Self::Solid | Self::Filled => "line",
            Self::Dashed => "line dashed",
            Self::Thin => "line thin",
        }
    }
}

/// A line, with its points from left to right.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// Number of its colour, from 1.
    pub(super) colour: usize,
    pub(super) look: Look,
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn new(
        name: impl Into<String>,
        colour: usize,
        look: Look,
        points: Vec<(f64, f64)>,
    ) -> Self {
        Self {
            name: name.into(),
            colour,
            look,
            points,
        }
    }
}

/// A numbered position on a plot, with a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Marker {
    pub(super) number: u64,
    pub(super) at: (f64, f64),
    pub(super) text: String,
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    /// Text for screen readers.
    pub(super) description: String,
    pub(super) height: f64,
    pub(super) x: Unit,
    pub(super) y: Unit,
    pub(super) x_range: (f64, f64),
    pub(super) is_y_logarithmic: bool,
    /// True if a value holds until the next point.
    pub(super) is_stepped: bool,
    pub(super) lines: Vec<Line>,
    pub(super) markers: Vec<Marker>,
}

impl Plot {
    /// Returns a plot over seconds, linear and without markers.
    pub(super) fn over_time(
        description: impl Into<String>,
        height: f64,
        y: Unit,
        x_range: (f64, f64),
        lines: Vec<Line>,
    ) -> Self {
        Self {
            description: description.into(),
            height,
            x: Unit::Seconds,
            y,
            x_range,
            is_y_logarithmic: false,
            is_stepped: false,
            lines,
            markers: Vec::new(),
        }
    }

    /// Draws the plot under its legend.
    pub(super) fn draw(&self) -> Markup {
        html! {
            figure {
                @if self.lines.len() > 1 { (self.legend()) }
                div.plot {
                    svg viewBox={ "0 0 " (WIDTH) " " (self.height) } role="img" aria-label=(self.description) {
                        (self.content())
                    }
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for line in &self.lines {
                    li {
                        svg.swatch viewBox="0 0 22 10" aria-hidden="true" {
                            path class={ (line.look.class()) " c" (line.colour) } d="M1 5H21" {}
                        }
                        (line.name)
                    }
                }
            }
        }
    }

    fn content(&self) -> Markup {
        let x = self.x_scale();
        let y = self.y_scale();
        html! {
            (self.axes(&x, &y))
            @for line in &self.lines {
                @let points = thinned(&line.points);
                @if line.look == Look::Filled {
                    path class={ "area c" (line.colour) } d=(self.area(&points, &x, &y)) {}
                }
                path class={ (line.look.class()) " c" (line.colour) } d=(self.path(&points, &x, &y)) {}
            }
            (self.columns(&x))
            (self.marks(&x, &y))
        }
    }

    fn x_scale(&self) -> Scale {
        let pixels = (LEFT, RIGHT);
        match self.x {
            Unit::Rarity => Scale::logarithmic(self.x_range, pixels),
            _ => Scale::linear(self.x_range, pixels),
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.map(|point| bounded(point.1))
    }

    fn most(&self) -> f64 {
        self.values().fold(0.0, f64::max)
    }

    fn y_scale(&self) -> Scale {
        let pixels = (self.height - BELOW, TOP);
        let most = self.most();
        if self.is_y_logarithmic {
            let above_zero = self.values().filter(|value| *value > 0.0);
            let least = above_zero.reduce(f64::min).unwrap_or(1.0);
            return Scale::logarithmic((least * 0.8, most.max(least) * 1.25), pixels);
        }
        let most = match self.y {
            Unit::Percent => 100.0,
            unit => round_up(most, unit.size(most)),
        };
        Scale::linear((0.0, most), pixels)
    }

    fn axes(&self, x: &Scale, y: &Scale) -> Markup {
        let bottom = self.height - BELOW;
        let lines_wanted = (self.height / 40.0) as usize;
        html! {
            @for tick in y.ticks(lines_wanted.clamp(2, 7), self.y.size(self.most())) {
                @let place = pixel(y.place(tick));
                path.grid d={ "M" (LEFT) " " (place) "H" (RIGHT) } {}
                text.tick x=(LEFT - 8.0) y=(place) dy="0.32em" text-anchor="end" { (self.y.text(tick)) }
            }
            path.axis d={ "M" (LEFT) " " (bottom) "H" (RIGHT) } {}
            @for tick in x.ticks(8, 1.0) {
                @let place = pixel(x.place(tick));
                path.axis d={ "M" (place) " " (bottom) "v4" } {}
                text.tick x=(place) y=(bottom + 17.0) text-anchor="middle" { (self.x.text(tick)) }
            }
        }
    }

    fn path(&self, points: &[(f64, f64)], x: &Scale, y: &Scale) -> String {
        let mut path = String::new();
        for (index, point) in points.iter().enumerate() {
            let (across, up) = (pixel(x.place(point.0)), pixel(y.place(point.1)));
            let written = match (index, self.is_stepped) {
                (0, _) => write!(path, "M{across} {up}"),
                (_, true) => write!(path, "H{across}V{up}"),
                (_, false) => write!(path, "L{across} {up}"),
            };
            debug_assert!(written.is_ok(), "writing to memory does not fail");
        }
        path
    }

    fn area(&self, points: &[(f64, f64)], x: &Scale, y: &Scale) -> String {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return String::new();
        };
        let bottom = self.height - BELOW;
        let (begin, end) = (pixel(x.place(first.0)), pixel(x.place(last.0)));
        format!("{}L{end} {bottom}H{begin}Z", self.path(points, x, y))
    }

    /// Draws invisible columns whose tooltips show the figures of all lines.
    fn columns(&self, x: &Scale) -> Markup {
        let longest = self.lines.iter().max_by_key(|line| line.points.len());
        let points = longest.map_or(&[][..], |line| &line.points);
        let every = points.len().div_ceil(COLUMNS_MAX).max(1);
        let places: Vec<f64> = points.iter().step_by(every).map(|point| point.0).collect();
        let mut begin = LEFT;
        html! {
            @for (index, place) in places.iter().enumerate() {
                @let next = places.get(index + 1);
                @let end = next.map_or(RIGHT, |next| f64::midpoint(x.place(*place), x.place(*next)));
                rect.column x=(pixel(begin)) y=(TOP) width=(pixel((end - begin).max(0.0)))
                    height=(self.height - BELOW - TOP) {
                    title { (self.told(*place)) }
                }
                @let () = begin = end;
            }
        }
    }

    fn told(&self, place: f64) -> String {
        let mut told = self.x.text(place);
        for line in &self.lines {
            let next = line.points.partition_point(|point| point.0 < place - 1e-9);
            if let Some(point) = line.points.get(next) {
                told += &format!("\n{}: {}", line.name, self.y.text(point.1));
            }
        }
        told
    }

    fn marks(&self, x: &Scale, y: &Scale) -> Markup {
        let mut numbered = f64::NEG_INFINITY;
        html! {
            @for marker in self.markers.iter().take(MARKERS_MAX) {
                @let (across, up) = (pixel(x.place(marker.at.0)), pixel(y.place(marker.at.1)));
                @let is_numbered = across - numbered >= NUMBERS_APART;
                g.marker {
                    title { (marker.text) }
                    circle cx=(across) cy=(up) r=(if is_numbered { 8.0 } else { 3.0 }) {}
                    @if is_numbered {
                        @let () = numbered = across;
                        text x=(across) y=(up) dy="0.35em" text-anchor="middle" { (marker.number) }
                    }
                }
            }
        }
    }
}

/// Rounds to a tenth of a pixel.
pub(super) fn pixel(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        Plot {
            description: "a < b".to_owned(),
            height: 134.0,
            x: Unit::Seconds,
            y: Unit::Count,
            x_range: (0.0, 10.0),
            is_y_logarithmic: false,
            is_stepped: false,
            lines: vec![Line {
                name: "\"<one>\"".to_owned(),
                colour: 1,
                look: Look::Solid,
                points: vec![(0.0, 0.0), (10.0, 100.0)],
            }],
            markers: Vec::new(),
        }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let drawn = plot().draw().into_string();
        assert!(drawn.contains(r#"d="M64 110L746 10""#), "{drawn}");
    }

    #[test]
    fn steps_go_across_before_they_go_up() {
        let stepped = Plot {
            is_stepped: true,
            ..plot()
        };
        let drawn = stepped.draw().into_string();
        assert!(drawn.contains(r#"d="M64 110H746V10""#), "{drawn}");
    }

    #[test]
    fn a_marker_stands_where_its_value_does_and_has_a_number_where_there_is_room() {
        let marker = |number, at, text: &str| Marker {
            number,
            at,
            text: text.to_owned(),
        };
        let marked = Plot {
            markers: vec![
                marker(7, (5.0, 50.0), "seven < eight"),
                marker(8, (5.1, 50.0), "eight"),
                marker(9, (10.0, 100.0), "nine"),
            ],
            ..plot()
        };
        let drawn = marked.draw().into_string();
        for part in [
            r#"<title>seven &lt; eight</title><circle cx="405" cy="60" r="8">"#,
            r#"<title>eight</title><circle cx="411.8" cy="60" r="3">"#,
            r#"<title>nine</title><circle cx="746" cy="10" r="8">"#,
            r#"text-anchor="middle">7</text>"#,
            r#"text-anchor="middle">9</text>"#,
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        assert!(!drawn.contains(">8</text>"), "{drawn}");
    }

    #[test]
    fn names_are_escaped() {
        let drawn = plot().draw().into_string();
        assert!(!drawn.contains("<one>"));
        assert!(drawn.contains("&lt;one&gt;"));
        assert!(drawn.contains("a &lt; b"));
    }

    #[test]
    fn figures_that_cannot_be_are_drawn_at_the_edge() {
        let values = [1.7e308, 1e-308, -1.7e308, 0.0, f64::MAX, f64::MIN_POSITIVE];
        for is_y_logarithmic in [false, true] {
            for y in [Unit::Micros, Unit::Bytes, Unit::PerSecond, Unit::Percent] {
                let mut hostile = plot();
                (hostile.y, hostile.is_y_logarithmic) = (y, is_y_logarithmic);
                hostile.x_range = (-1.7e308, 1.7e308);
                hostile.lines[0].points = values.map(|value| (value, value)).to_vec();
                let drawn = hostile.draw().into_string();
                assert!(drawn.len() < 100_000, "{}", drawn.len());
                assert!(!drawn.contains("NaN"), "{drawn}");
            }
        }
    }

    #[test]
    fn nothing_can_be_drawn_too() {
        let empty = Plot {
            lines: Vec::new(),
            ..plot()
        };
        assert!(empty.draw().into_string().contains("</svg>"));
    }
}
