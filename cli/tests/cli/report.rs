use trunkline::decisions::{Change, Window};
use trunkline_load::{Histogram, Latency, Measure, OperationKind};

use crate::markup::Markup;
use crate::support::run;
use crate::synthetic::{Made, Shape};

/// Returns the page of a made-up run.
fn page(change: impl FnOnce(&mut Made)) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut made = Made::new(Shape::default());
    change(&mut made);
    made.write_to(directory.path());
    let path = directory.path().to_str().expect("text");
    let file = directory.path().join("page.html");
    run(["report", path, "--html", file.to_str().expect("text")]).done();
    std::fs::read_to_string(file).expect("the page")
}

#[test]
fn the_page_is_well_formed() {
    let page = page(|_| {});
    let markup = Markup::parse(&page);
    assert!(markup.elements("svg").count() > 10);
    assert!(
        markup
            .texts()
            .any(|text| text == "updates and reads, steady")
    );
}

#[test]
fn what_came_before_the_measured_seconds_is_said_whole() {
    let page = page(|_| {});
    let before = "filling, calibration if no rate was given, and the warm-up";
    assert!(page.contains(before), "{before}");
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page(|_| {});
    for outside in [
        "http://", "https://", "<script", "<link", "<img", "@import", "url(", "src=",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn texts_of_a_run_stay_texts() {
    let hostile = "</title></style><script>alert(1)</script>\"'&";
    let page = page(|made| {
        let run = &mut made.run;
        for text in [
            &mut run.name,
            &mut run.version,
            &mut run.git_revision,
            &mut run.machine.processor,
            &mut run.machine.system,
            &mut run.workload,
            &mut run.config,
        ] {
            *text = hostile.to_owned();
        }
        run.warnings.push(trunkline_load::Warning::Failed {
            operations: 3,
            first: hostile.to_owned(),
        });
        let setting = trunkline::decisions::Change::Setting {
            key: hostile.to_owned(),
            from: hostile.to_owned(),
            to: hostile.to_owned(),
        };
        run.decisions[0].change = setting;
    });
    assert!(!page.contains("<script"));
    let markup = Markup::parse(&page);
    assert!(markup.texts().filter(|text| text.contains(hostile)).count() >= 8);
}

/// The left and right ends of plots, and their top.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 746.0;
const TOP: f64 = 10.0;

/// Returns the position of a value between two others, whose positions are `pixels`.
fn between(value: f64, values: (f64, f64), pixels: (f64, f64)) -> f64 {
    let share = (value - values.0) / (values.1 - values.0);
    pixels.0 + share * (pixels.1 - pixels.0)
}

/// Checks that points are at their expected positions, to half a pixel.
#[track_caller]
fn assert_near(drawn: &[(f64, f64)], expected: &[(f64, f64)]) {
    assert_eq!(drawn.len(), expected.len(), "{drawn:?} {expected:?}");
    for (one, other) in drawn.iter().zip(expected) {
        let is_near = (one.0 - other.0).abs() < 0.5 && (one.1 - other.1).abs() < 0.5;
        assert!(is_near, "{one:?} {other:?}");
    }
}

/// Makes five seconds with a median of 10 µs and a largest latency of 800 µs.
fn five_seconds(made: &mut Made) {
    let run = &mut made.run;
    run.seconds.truncate(5);
    for (number, second) in (0_u32..).zip(&mut run.seconds) {
        (second.achieved, second.offered) = (250 * u64::from(number), 1_000);
        let updates = second.operations.entry(OperationKind::Update).or_default();
        updates.latency = Latency {
            count: 1,
            p50_us: 10.0,
            p99_us: 10.0 * f64::from(1 << number),
            max_us: 800.0,
            ..Latency::default()
        };
    }
    (run.totals.scheduled_us, run.totals.dropped) = (5_000_000, 0);
}

#[test]
fn throughput_is_drawn_second_by_second() {
    const PLOT: &str = "Operations a second over time";
    // The axis ends at the largest value, since that is round.
    let point = |second: f64, value: f64| {
        (
            between(second, (0.0, 4.0), (LEFT, RIGHT)),
            between(value, (0.0, 1_000.0), (216.0, TOP)),
        )
    };
    let achieved = [0.0, 1.0, 2.0, 3.0, 4.0].map(|second| point(second, 250.0 * second));
    let offered = [0.0, 1.0, 2.0, 3.0, 4.0].map(|second| point(second, 1_000.0));
    let lines = Markup::parse(&page(five_seconds)).lines(PLOT);
    assert_eq!(lines.len(), 2);
    assert_near(&lines[0], &achieved);
    assert_near(&lines[1], &offered);

    // The second in which the run ended would look like a drop.
    let ended_within = page(|made| {
        five_seconds(made);
        made.run.totals.scheduled_us = 4_200_000;
    });
    let lines = Markup::parse(&ended_within).lines(PLOT);
    assert_near(&lines[0], &achieved[..4]);
}

#[test]
fn latency_is_drawn_second_by_second() {
    let lines = Markup::parse(&page(five_seconds)).lines("Latency of update over time");
    let point = |second: f64, micros: f64| {
        // There is a little space below the smallest and above the largest value.
        let ends = (8_f64.ln(), 1_000_f64.ln());
        (
            between(second, (0.0, 4.0), (LEFT, RIGHT)),
            between(micros.ln(), ends, (186.0, TOP)),
        )
    };
    let seconds = [0.0, 1.0, 2.0, 3.0, 4.0];
    let [p50, p99, largest] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_near(p50, &seconds.map(|second| point(second, 10.0)));
    let doubled = seconds.map(|second| point(second, 10.0 * second.exp2()));
    assert_near(p99, &doubled);
    assert_near(largest, &seconds.map(|second| point(second, 800.0)));
}

#[test]
fn percentiles_are_drawn_from_the_histograms() {
    let page = page(|made| {
        made.run.seconds.truncate(1);
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for (micros, count) in [(10, 900), (100, 90), (1_000, 9), (10_000, 1)] {
            histogram.record_n(micros * 1_000, count).expect("it grows");
        }
        let series = (OperationKind::Update, Measure::Latency);
        made.series = [(series, vec![histogram])].into();
    });
    let lines = Markup::parse(&page).lines("Latency by percentile");
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let point = |nines: f64, micros: f64| {
        let ends = (8_f64.ln(), 1_250_f64.ln());
        (
            between(nines, (0.0, 3.0), (LEFT, RIGHT)),
            between(micros.ln(), ends, (296.0, TOP)),
        )
    };
    // 24 steps per decade, up to one in a thousand.
    assert_eq!(line.len(), 3 * 24 + 1);
    let drawn = [0, 24, 25, 48, 49, 72].map(|step| line[step]);
    let expected = [
        point(0.0, 10.0),
        point(1.0, 10.0),
        point(25.0 / 24.0, 100.0),
        point(2.0, 100.0),
        point(49.0 / 24.0, 1_000.0),
        point(3.0, 1_000.0),
    ];
    assert_near(&drawn, &expected);
}

#[test]
fn decisions_are_marked_on_the_line_that_they_moved() {
    let (mut expected, mut places) = (Vec::new(), 0);
    let page = page(|made| {
        let run = &made.run;
        places = run.decisions.len();
        for decision in &run.decisions {
            let Change::GroupOperationsMax { to, .. } = decision.change else {
                continue;
            };
            let second = (decision.at_us as f64 - run.begun_engine_us as f64) / 1e6;
            // Windows begin three seconds before the run, and the first one ends half a second later.
            let across = between(second, (-2.5, 60.0), (LEFT, RIGHT));
            expected.push((across, between(to as f64, (0.0, 25_000.0), (126.0, TOP))));
        }
    });
    let markup = Markup::parse(&page);
    let marked = |plot: &str| -> Vec<(f64, f64)> {
        let drawing = markup.drawing(plot).into_iter();
        let circles = drawing.filter(|element| element.is("circle"));
        let place = |circle: &crate::markup::Element| (circle.number("cx"), circle.number("cy"));
        circles.map(place).collect()
    };
    assert_eq!(expected.len(), 10);
    assert_near(&marked("Group size limit over time"), &expected);
    assert_eq!(marked("Admission limit over time"), []);
    assert_eq!(
        marked("Parallelism over time").len(),
        places - expected.len()
    );
}

#[test]
fn bars_of_neighbouring_versions_overlap() {
    let page = page(|_| {});
    let markup = Markup::parse(&page);
    let bars: Vec<_> = markup
        .elements("rect")
        .filter(|bar| bar.is_within("bar"))
        .collect();
    assert_eq!(bars.len(), 12 * 5);
    let ends = |class: &str| {
        let bars = bars.iter().filter(|bar| bar.is_within(class));
        let ends = bars.map(|bar| (bar.number("x"), bar.number("x") + bar.number("width")));
        ends.collect::<Vec<(f64, f64)>>()
    };
    let odd = ends("odd");
    let overlapping = |even: &(f64, f64)| odd.iter().any(|odd| odd.0 < even.1 && even.0 < odd.1);
    assert!(ends("even").iter().any(overlapping));
    assert!(page.contains("11 of 11"));
}

#[test]
fn versions_one_after_the_other_do_not_overlap() {
    let page = page(|made| {
        for span in &mut made.run.spans {
            let later_us = (span.version - 4_000) * 50_000;
            span.begun_us += later_us;
            span.ended_us += later_us;
        }
    });
    assert!(page.contains("0 of 11"));
}

#[test]
fn a_long_run_is_thinned() {
    let page = page(|made| {
        let second = made.run.seconds[0].clone();
        made.run.seconds = (0..20_000)
            .map(|number| trunkline_load::Second {
                second: number,
                ..second.clone()
            })
            .collect();
    });
    let markup = Markup::parse(&page);
    let points = |path: &str| path.matches(['L', 'H']).count();
    let longest = markup
        .elements("path")
        .map(|path| points(path.attribute("d")))
        .max();
    assert!(longest.expect("paths") <= 2_001);
    assert!(page.len() < 1_000_000, "{}", page.len());
}

#[test]
fn a_run_of_something_else_than_an_engine_has_a_page_too() {
    let page = page(|made| {
        let run = &mut made.run;
        run.windows.clear();
        run.decisions.clear();
        run.spans.clear();
        run.config.clear();
    });
    Markup::parse(&page);
    assert!(!page.contains("Adaptive settings"));
}

#[test]
fn figures_that_cannot_be_make_a_page_of_the_usual_size() {
    let page = page(|made| {
        let figures = [1.7e308, 1e-308, -1.7e308, f64::MAX, f64::MIN_POSITIVE];
        let seconds = made.run.seconds.iter_mut();
        for (second, figure) in seconds.zip(figures.into_iter().cycle()) {
            (second.achieved, second.offered) = (u64::MAX, 1);
            for kind in second.operations.values_mut() {
                kind.latency.p50_us = -figure;
                kind.latency.p99_us = figure;
                kind.latency.max_us = figure;
            }
        }
        made.run.windows[7].ended_us = u64::MAX;
        made.run.windows[8].group_operations_max = u64::MAX;
        for total in made.run.totals.operations.values_mut() {
            (total.latency.mean_us, total.service.max_us) = (1.7e308, -1e-308);
        }
    });
    Markup::parse(&page);
    assert!(!page.contains("NaN"));
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn an_empty_run_has_a_page_and_a_text() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("text");
    let format = trunkline_load::RUN_FORMAT;
    let empty = trunkline_load::Run {
        format,
        ..Default::default()
    };
    let document = serde_json::to_vec(&empty).expect("JSON");
    std::fs::write(directory.path().join("run.json"), document).expect("a file");
    std::fs::write(directory.path().join("latency.hlog"), "").expect("a file");
    let page = run(["report", path, "--html", "-"]).done().stdout;
    Markup::parse(&page);
    run(["report", path]).done();
}

#[test]
fn without_a_page_the_figures_are_text() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut made = Made::new(Shape::default());
    made.run.name = "a\x1b[2Jb".to_owned();
    made.run
        .warnings
        .push(trunkline_load::Warning::GeneratorLate {
            p99_us: 9e3,
            max_us: 1e4,
        });
    made.write_to(directory.path());
    let path = directory.path().to_str().expect("text");
    let text = run(["report", path]).done().stdout;
    assert!(text.starts_with("a\\u{1b}[2Jb\n"), "{text}");
    for part in [
        "p99.99",
        "update",
        "12 decisions",
        "warning: the generator could not keep up",
        "tree",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    run(["report", path, "--html"]).done();
    assert!(directory.path().join("report.html").exists());
    run(["report", "/no/such/run"]).unusable("cannot use /no/such/run/run.json");
}

#[test]
fn stages_are_as_busy_as_they_were_in_what_was_measured() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut made = Made::new(Shape::default());
    let begun_us = made.run.begun_engine_us.max(1_000_000);
    made.run.begun_engine_us = begun_us;
    let window = |ended_us, busy_us| {
        let mut window = Window {
            ended_us,
            length_us: 500_000,
            ..Window::default()
        };
        window
            .stages
            .iter_mut()
            .for_each(|stage| stage.busy_us = busy_us);
        window
    };
    let tree_is = |made: &Made, expected: &str| {
        made.write_to(directory.path());
        let text = run(["report", directory.path().to_str().expect("text")])
            .done()
            .stdout;
        let line = text.lines().find(|line| line.starts_with("tree "));
        assert!(line.is_some_and(|line| line.ends_with(expected)), "{text}");
    };
    // The fill keeps every stage busy.
    made.run.windows = vec![
        window(begun_us, 500_000),
        window(begun_us + 500_000, 100_000),
    ];
    tree_is(&made, " 20 %");
    made.run.windows.truncate(1);
    tree_is(&made, " –");
}
