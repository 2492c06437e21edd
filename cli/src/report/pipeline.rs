//! Draws the timeline of the pipeline: with a lane for each stage, and a bar for each version that it worked on. It
//! shows whether version N + 1 is built while version N gets its root and becomes durable.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use trunkline::{Span, Stage};

use crate::output::grouped;

use super::label::{Unit, micros};
use super::plot::{LEFT, RIGHT, WIDTH, pixel};
use super::scale::Scale;

/// Most versions that are shown.
const VERSIONS: usize = 12;
/// Most bars that are drawn.
const BARS_MAX: usize = 4 * VERSIONS * Stage::ALL.len();
const LANE: f64 = 36.0;
const BAR: f64 = 26.0;
/// Least width of a bar for each digit of its version.
const NUMBER_WIDTH_MIN: f64 = 9.0;
const TOP: f64 = 8.0;
const HEIGHT: f64 = TOP + LANE * Stage::ALL.len() as f64 + 26.0;

/// The work of the stages on consecutive versions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    spans: Vec<Span>,
    begin_us: u64,
    end_us: u64,
}

impl Pipeline {
    /// Returns versions from the middle of the recording, whose beginning and end may be incomplete.
    pub(super) fn of(spans: &[Span]) -> Option<Self> {
        let whole = spans.iter().filter(|span| span.ended_us >= span.begun_us);
        let mut stages: BTreeMap<u64, usize> = BTreeMap::new();
        for span in whole.clone() {
            *stages.entry(span.version).or_default() += 1;
        }
        let most = stages.values().copied().max()?.min(Stage::ALL.len());
        let complete = stages.iter().filter(|(_, count)| **count >= most);
        let complete: Vec<u64> = complete.map(|(version, _)| *version).collect();
        let first = complete.len().saturating_sub(VERSIONS) / 2;
        let versions: BTreeSet<u64> = complete
            .iter()
            .skip(first)
            .take(VERSIONS)
            .copied()
            .collect();
        let spans: Vec<Span> = whole
            .filter(|span| versions.contains(&span.version))
            .take(BARS_MAX)
            .copied()
            .collect();
        Some(Self {
            begin_us: spans.iter().map(|span| span.begun_us).min()?,
            end_us: spans.iter().map(|span| span.ended_us).max()?,
            spans,
        })
    }

    pub(super) fn versions(&self) -> usize {
        let versions = self.spans.iter().map(|span| span.version);
        versions.collect::<BTreeSet<_>>().len()
    }

    /// Returns the number of pairs of consecutive versions in which tree or hash worked on the later one while kzg or
    /// persist worked on the earlier one, and the number of all pairs.
    pub(super) fn overlapping_pairs(&self) -> (usize, usize) {
        let of = |version: u64, stages: [Stage; 2]| {
            let spans = self.spans.iter();
            spans.filter(move |span| span.version == version && stages.contains(&span.stage))
        };
        let versions: BTreeSet<u64> = self.spans.iter().map(|span| span.version).collect();
        let pairs = versions.iter().filter_map(|version| {
            let next = version.checked_add(1)?;
            versions.contains(&next).then_some((*version, next))
        });
        let pairs: Vec<(u64, u64)> = pairs.collect();
        let overlapping = pairs.iter().filter(|(version, next)| {
            of(*version, [Stage::Kzg, Stage::Persist]).any(|committing| {
                of(*next, [Stage::Tree, Stage::Hash]).any(|building| {
                    building.begun_us < committing.ended_us
                        && committing.begun_us < building.ended_us
                })
            })
        });
        (overlapping.count(), pairs.len())
    }

    /// Returns the share of the time in which at least two stages worked.
    pub(super) fn overlapping_share(&self) -> f64 {
        let begun = self.spans.iter().map(|span| (span.begun_us, 1));
        let ended = self.spans.iter().map(|span| (span.ended_us, -1));
        let mut events: Vec<(u64, i32)> = begun.chain(ended).collect();
        events.sort_unstable();
        let (mut working, mut since_us, mut together_us) = (0, self.begin_us, 0);
        for (at_us, change) in events {
            if working >= 2 {
                together_us += at_us - since_us;
            }
            working += change;
            since_us = at_us;
        }
        together_us as f64 / (self.end_us - self.begin_us).max(1) as f64
    }

    pub(super) fn draw(&self) -> Markup {
        let length = (self.end_us - self.begin_us).max(1) as f64;
        let x = Scale::linear((0.0, length), (LEFT, RIGHT));
        let bottom = HEIGHT - 26.0;
        html! {
            figure {
                div.plot {
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
                        aria-label="When each stage worked on which version" {
                        @for tick in x.ticks(8, 1.0) {
                            @let place = pixel(x.place(tick));
                            path.grid d={ "M" (place) " " (TOP) "V" (bottom) } {}
                            text.tick x=(place) y=(bottom + 17.0) text-anchor="middle" { (Unit::Micros.text(tick)) }
                        }
                        @for (lane, stage) in Stage::ALL.into_iter().enumerate() {
                            (self.lane(stage, TOP + LANE * lane as f64, &x))
                        }
                    }
                }
            }
        }
    }

    fn lane(&self, stage: Stage, top: f64, x: &Scale) -> Markup {
        let spans = self.spans.iter().filter(|span| span.stage == stage);
        html! {
            text.lane x=(LEFT - 8.0) y=(top + LANE / 2.0) dy="0.35em" text-anchor="end" { (stage.name()) }
            path.axis d={ "M" (LEFT) " " (top + LANE) "H" (RIGHT) } {}
            @for span in spans {
                (self.bar(span, top + (LANE - BAR) / 2.0, x))
            }
        }
    }

    fn bar(&self, span: &Span, top: f64, x: &Scale) -> Markup {
        let at = |us: u64| x.place(us.saturating_sub(self.begin_us) as f64);
        let (begin, end) = (at(span.begun_us), at(span.ended_us));
        let width = (end - begin).max(1.5);
        let parity = if span.version.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        };
        let took_us = span.ended_us.saturating_sub(span.begun_us) as f64;
        // Only the last digits differ between neighbours, and more do not fit.
        let number = format!("{:02}", span.version % 100);
        html! {
            g.bar.(parity) {
                title {
                    (span.stage.name()) ", version " (grouped(span.version)) "\n"
                    (micros(took_us)) " from " (micros(span.begun_us.saturating_sub(self.begin_us) as f64)) "\n"
                    (grouped(span.operations)) " operations"
                }
                rect x=(pixel(begin)) y=(top) width=(pixel(width)) height=(BAR) rx="2" {}
                @if width >= NUMBER_WIDTH_MIN * number.len() as f64 {
                    text x=(pixel(begin + width / 2.0)) y=(top + BAR / 2.0) dy="0.35em" text-anchor="middle" {
                        (number)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(stage: Stage, version: u64, begun_us: u64, ended_us: u64) -> Span {
        Span {
            stage,
            version,
            begun_us,
            ended_us,
            operations: 1_000,
            bytes: 100_000,
        }
    }

    /// Returns spans in which each stage takes 100 µs, and each version begins `later_us` after the previous one.
    fn versions(count: u64, later_us: u64) -> Vec<Span> {
        let of_version = |version: u64| {
            let stages = Stage::ALL.into_iter().enumerate();
            stages.map(move |(place, stage)| {
                let begun_us = version * later_us + place as u64 * 100;
                span(stage, version, begun_us, begun_us + 100)
            })
        };
        (0..count).flat_map(of_version).collect()
    }

    #[test]
    fn the_middle_of_what_was_recorded_is_shown() {
        let mut spans = versions(112, 100);
        spans.push(span(Stage::Tree, 500, 0, 10));
        let pipeline = Pipeline::of(&spans).expect("spans");
        assert_eq!(pipeline.versions(), VERSIONS);
        assert_eq!(pipeline.begin_us, 50 * 100);
        assert_eq!(Pipeline::of(&[]), None);
    }

    #[test]
    fn versions_that_overlap_are_counted() {
        let overlapping = Pipeline::of(&versions(12, 150)).expect("spans");
        assert_eq!(overlapping.overlapping_pairs(), (11, 11));
        assert!(overlapping.overlapping_share() > 0.8);
        let one_by_one = Pipeline::of(&versions(12, 500)).expect("spans");
        assert_eq!(one_by_one.overlapping_pairs(), (0, 11));
        assert_eq!(one_by_one.overlapping_share(), 0.0);
    }

    #[test]
    fn spans_that_end_before_they_begin_are_passed_over() {
        assert_eq!(Pipeline::of(&[span(Stage::Tree, 1, 10, 5)]), None);
        let extreme = [span(Stage::Tree, u64::MAX, 0, u64::MAX)];
        let pipeline = Pipeline::of(&extreme).expect("a span");
        assert!(
            pipeline
                .draw()
                .into_string()
                .contains("18,446,744,073,709,551,615")
        );
        assert_eq!(pipeline.overlapping_pairs(), (0, 0));
    }
}
