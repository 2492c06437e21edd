use crate::markup::Markup;
use crate::support::run;
use crate::synthetic::{Made, Shape};

/// The page of a made-up run.
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
        run.warnings.push(hostile.to_owned());
        let setting = trunkline::control::Change::Setting {
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
            .map(|number| trunkline::load::Second {
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
    assert!(!page.contains("What was tuned"));
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
    let format = trunkline::load::RUN_FORMAT;
    let empty = trunkline::load::Run {
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
    made.run.warnings.push("the generator was late".to_owned());
    made.write_to(directory.path());
    let path = directory.path().to_str().expect("text");
    let text = run(["report", path]).done().stdout;
    assert!(text.starts_with("a[2Jb\n"), "{text}");
    for part in [
        "p99.99",
        "update",
        "12 decisions",
        "warning: the generator was late",
        "tree",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    run(["report", path, "--html"]).done();
    assert!(directory.path().join("report.html").exists());
    run(["report", "/no/such/run"]).unusable("cannot use /no/such/run/run.json");
}
