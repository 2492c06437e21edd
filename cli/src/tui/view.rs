//! Draws the live view into a frame, without a terminal.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use trunkline::Stage;
use trunkline::decisions::{Decision, Window};
use trunkline_load::{OperationFigures, OperationKind, Progress, Second};

use crate::output::{escaped_line, grouped};
use crate::report::{busy_percent, change, compact, micros};

/// Most decisions that are shown.
const DECISIONS_MAX: usize = 30;
/// Cells of a full bar.
const BAR: usize = 20;

/// Draws the view. Content that does not fit is cut off on the right and at the bottom.
pub(super) fn draw(frame: &mut Frame<'_>, step: &Progress<'_>) {
    let second = step.seconds.last().cloned().unwrap_or_default();
    let kinds = u16::try_from(second.operations.len()).unwrap_or(u16::MAX);
    let kinds = kinds.max(1);
    let [head, upper, middle, lower] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(7),
        Constraint::Length(kinds.saturating_add(3).max(8)),
        Constraint::Min(3),
    ])
    .areas(frame.area());
    let halves = || Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
    let [rates, stages] = halves().areas(upper);
    let [latencies, bounds] = halves().areas(middle);
    frame.render_widget(title(step), head);
    draw_rates(frame, step, &second, rates);
    draw_latencies(frame, &second, latencies);
    draw_decisions(frame, step.decisions, lower);
    let (stage_lines, bound_lines) = match step.windows.last() {
        Some(window) => (stage_lines(window), bound_lines(window)),
        None => {
            let unknown = |title| framed(title, vec![soft("not available from this target")]);
            (unknown("stages"), unknown("limits"))
        }
    };
    frame.render_widget(stage_lines, stages);
    frame.render_widget(bound_lines, bounds);
}

fn title(step: &Progress<'_>) -> Line<'static> {
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let mut text = format!(" {} · {}", step.stage, seconds(step.elapsed));
    if let Some(planned) = step.planned {
        text += &format!(" of {}", seconds(planned));
    }
    text += &format!(" · {} operations", grouped(step.operations));
    if let Some(planned) = step.planned_operations {
        text += &format!(" of {}", grouped(planned));
    }
    if step.is_warm_up {
        text += " · warming up";
    }
    Line::from(vec![
        " trunkline ".reversed().bold(),
        text.into(),
        " · q stops the run".dim(),
    ])
}

fn draw_rates(frame: &mut Frame<'_>, step: &Progress<'_>, second: &Second, area: Rect) {
    let block = Block::bordered().title(" operations/s ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [figures, line] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
    let dropped = match second.dropped {
        0 => Style::new(),
        _ => Style::new().fg(Color::Red),
    };
    let text = Line::from(vec![
        grouped(second.achieved).bold(),
        format!(" of {} offered, ", grouped(second.offered)).into(),
        Span::styled(format!("{} dropped", grouped(second.dropped)), dropped),
    ]);
    frame.render_widget(text, figures);
    let left_out = step.seconds.len().saturating_sub(line.width.into());
    let rates = step.seconds.iter().skip(left_out);
    let rates = rates.map(|second| second.achieved);
    frame.render_widget(Sparkline::default().data(rates).blue(), line);
}

fn stage_lines(window: &Window) -> Paragraph<'static> {
    let lines = Stage::ALL.into_iter().enumerate().map(|(place, stage)| {
        let percent = busy_percent(window, place);
        let waited = window
            .stages
            .get(place)
            .map_or(0, |stage| stage.queue_wait_us.p99);
        let full = ((percent / 100.0 * BAR as f64).round() as usize).min(BAR);
        Line::from(vec![
            format!("{:<8}{percent:3.0} % ", stage.name()).into(),
            "█".repeat(full).fg(load_colour(percent)),
            "░".repeat(BAR - full).dim(),
            format!("  queued {}", micros(waited as f64)).dim(),
        ])
    });
    framed("stages, busy and queued (p99)", lines.collect())
}

fn load_colour(percent: f64) -> Color {
    match percent {
        90.0.. => Color::Red,
        70.0.. => Color::Yellow,
        _ => Color::Green,
    }
}

fn bound_lines(window: &Window) -> Paragraph<'static> {
    let count = |number: u64| compact(number as f64);
    let time = |us: u64| micros(us as f64);
    let (Window { durable_us, .. }, busy) = (window, window.checkpoint_ran);
    let rows = [
        ("group size", count(window.group_operations_max)),
        ("admission", count(window.in_flight_operations_max)),
        (
            "parallelism",
            format!(
                "tree {}, hash {}, proof {}",
                window.tree_parallelism, window.hash_parallelism, window.proof_parallelism
            ),
        ),
        (
            "waiting",
            format!(
                "{} operations, {} groups in flight",
                count(window.operations_waiting),
                window.groups_in_flight
            ),
        ),
        (
            "durable",
            format!("p50 {}, p99 {}", time(durable_us.p50), time(durable_us.p99)),
        ),
        (
            "checkpoint",
            if busy { "running" } else { "idle" }.to_owned(),
        ),
    ];
    let lines =
        rows.map(|(name, value)| Line::from(vec![format!("{name:<12}").dim(), value.into()]));
    framed("limits", lines.into())
}

fn draw_latencies(frame: &mut Frame<'_>, second: &Second, area: Rect) {
    let row = |(kind, of_kind): (&OperationKind, &OperationFigures)| {
        let latency = &of_kind.latency;
        let figures = [
            latency.p50_us,
            latency.p99_us,
            latency.p999_us,
            latency.max_us,
        ];
        let cells = figures.map(|figure| Line::from(micros(figure)).right_aligned());
        Row::new(std::iter::once(Line::from(kind.name())).chain(cells))
    };
    let head = ["p50", "p99", "p99.9", "largest"].map(|name| Line::from(name).right_aligned());
    let head = Row::new(std::iter::once(Line::from("")).chain(head)).dim();
    let widths = [2, 1, 1, 1, 1].map(Constraint::Fill);
    let table = Table::new(second.operations.iter().map(row), widths)
        .header(head)
        .block(Block::bordered().title(" latency, last second "));
    frame.render_widget(table, area);
}

fn draw_decisions(frame: &mut Frame<'_>, decisions: &[Decision], area: Rect) {
    let line = |decision: &Decision| {
        Line::from(vec![
            format!("{:>8.1} s  ", decision.at_us as f64 / 1e6).dim(),
            escaped_line(&change(&decision.change)).into_owned().into(),
            format!("  {}", decision.reason).dim(),
        ])
    };
    let mut lines: Vec<Line<'static>> = decisions
        .iter()
        .rev()
        .take(DECISIONS_MAX)
        .map(line)
        .collect();
    if lines.is_empty() {
        lines.push(soft("none yet"));
    }
    frame.render_widget(framed("decisions, newest first", lines), area);
}

fn framed(title: &'static str, lines: Vec<Line<'static>>) -> Paragraph<'static> {
    Paragraph::new(lines).block(Block::bordered().title(format!(" {title} ")))
}

fn soft(text: &'static str) -> Line<'static> {
    Line::from(text).dim()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use trunkline::Quantiles;
    use trunkline::decisions::{Change, Reason, Seen, StageWindow};
    use trunkline_load::{Latency, StageName};

    use super::*;

    /// The data that a progress borrows.
    struct Live {
        stage: StageName,
        seconds: Vec<Second>,
        windows: Vec<Window>,
        decisions: Vec<Decision>,
    }

    impl Live {
        fn draw(&self, frame: &mut Frame<'_>) {
            let has_begun = !self.seconds.is_empty();
            let step = Progress {
                stage: self.stage,
                elapsed: Duration::from_millis(if has_begun { 16_200 } else { 0 }),
                planned: has_begun.then_some(Duration::from_secs(60)),
                operations: if has_begun { 120_000 } else { 0 },
                planned_operations: None,
                is_warm_up: !has_begun,
                rate: Some(16_000.0),
                current: &Second::default,
                seconds: &self.seconds,
                windows: &self.windows,
                decisions: &self.decisions,
                spans: &[],
            };
            draw(frame, &step);
        }
    }

    /// Returns the view as text, without its colours.
    fn drawn(live: &Live, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| live.draw(frame)).expect("a frame");
        let lines = terminal
            .backend()
            .buffer()
            .content()
            .chunks(usize::from(width));
        let lines = lines.map(|line| {
            let text: String = line.iter().map(|cell| cell.symbol()).collect();
            text.trim_end().to_owned()
        });
        lines.collect::<Vec<String>>().join("\n")
    }

    fn live() -> Live {
        let latency = Latency {
            count: 100,
            p50_us: 9_000.0,
            p99_us: 17_400.0,
            p999_us: 21_000.0,
            max_us: 30_500.0,
            ..Latency::default()
        };
        let of_kind = OperationFigures {
            latency,
            ..OperationFigures::default()
        };
        let seconds: Vec<Second> = (0..16)
            .map(|second| Second {
                second,
                offered: 16_000,
                achieved: 1_000 * second,
                dropped: 1_000,
                operations: [(OperationKind::Update, of_kind)].into(),
                ..Second::default()
            })
            .collect();
        let stage = |busy_us, p99| StageWindow {
            busy_us,
            queue_wait_us: Quantiles {
                p99,
                ..Quantiles::default()
            },
            ..StageWindow::default()
        };
        let window = Window {
            length_us: 500_000,
            group_operations_max: 20_000,
            in_flight_operations_max: 160_000,
            tree_parallelism: 2,
            hash_parallelism: 4,
            proof_parallelism: 1,
            operations_waiting: 1_500,
            groups_in_flight: 4,
            durable_us: Quantiles {
                p50: 8_000,
                p99: 17_400,
                ..Quantiles::default()
            },
            stages: [
                stage(40_000, 10),
                stage(475_000, 2_300),
                stage(375_000, 800),
                stage(150_000, 0),
                stage(260_000, 1_200),
            ],
            ..Window::default()
        };
        let decision = Decision {
            number: 1,
            at_us: 12_500_000,
            window_us: 500_000,
            change: Change::GroupOperationsMax {
                from: 16_000,
                to: 20_000,
            },
            reason: Reason::RoomBelowTarget,
            seen: Seen::default(),
        };
        Live {
            stage: StageName::Run,
            seconds,
            windows: vec![window],
            decisions: vec![decision],
        }
    }

    #[test]
    fn everything_has_its_place() {
        let expected = concat!(
            " trunkline  run · 16 s of 60 s · 120,000 operations · q stops the run\n",
            "┌ operations/s ───────────────────────────────────────┐┌ stages, busy and queued (p99) ──────────────────────┐\n",
            "│15,000 of 16,000 offered, 1,000 dropped              ││ingest    8 % ██░░░░░░░░░░░░░░░░░░  queued 10 µs     │\n",
            "│            ▁▃▅█                                     ││tree     95 % ███████████████████░  queued 2.3 ms    │\n",
            "│        ▁▃▅▇████                                     ││hash     75 % ███████████████░░░░░  queued 800 µs    │\n",
            "│     ▂▄▆████████                                     ││kzg      30 % ██████░░░░░░░░░░░░░░  queued 0         │\n",
            "│ ▂▄▆████████████                                     ││persist  52 % ██████████░░░░░░░░░░  queued 1.2 ms    │\n",
            "└─────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────┘\n",
            "┌ latency, last second ───────────────────────────────┐┌ limits ─────────────────────────────────────────────┐\n",
            "│                       p50      p99    p99.9  largest││group size  20k                                      │\n",
            "│update                9 ms  17.4 ms    21 ms  30.5 ms││admission   160k                                     │\n",
            "│                                                     ││parallelism tree 2, hash 4, proof 1                  │\n",
            "│                                                     ││waiting     1.5k operations, 4 groups in flight      │\n",
            "│                                                     ││durable     p50 8 ms, p99 17.4 ms                    │\n",
            "│                                                     ││checkpoint  idle                                     │\n",
            "└─────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────┘\n",
            "┌ decisions, newest first ───────────────────────────────────────────────────────────────────────────────────┐\n",
            "│    12.5 s  group.operations_max 16000 → 20000  groups are full and the latency is below its target         │\n",
            "│                                                                                                            │\n",
            "│                                                                                                            │\n",
            "└────────────────────────────────────────────────────────────────────────────────────────────────────────────┘",
        );
        let drawn = drawn(&live(), 110, 21);
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn before_the_first_second_there_is_nothing_to_tell() {
        let live = Live {
            stage: StageName::Fill,
            seconds: Vec::new(),
            windows: Vec::new(),
            decisions: Vec::new(),
        };
        let drawn = drawn(&live, 80, 24);
        assert!(
            drawn.starts_with(
                " trunkline  fill · 0 s · 0 operations · warming up · q stops the run"
            ),
            "{drawn}"
        );
        assert!(drawn.contains("none yet"));
        assert!(drawn.contains("not available from this target"));
    }

    #[test]
    fn the_smallest_terminal_is_enough_not_to_fail() {
        for (width, height) in [(1, 1), (3, 2), (20, 5), (400, 3)] {
            drawn(&live(), width, height);
        }
    }

    #[test]
    fn texts_of_others_change_no_terminal() {
        let mut live = live();
        live.decisions[0].change = Change::ReloadRefused {
            message: "\x1b[2J\u{202e}bad".to_owned(),
        };
        let drawn = drawn(&live, 110, 21);
        assert!(
            drawn.contains(r"reload refused (\u{1b}[2J\u{202e}bad)"),
            "{drawn}"
        );
    }
}
