use crate::support::{Workplace, run};
use crate::synthetic::{Made, Shape};

#[test]
fn a_pull_request_gets_a_short_summary() {
    let workplace = Workplace::new();
    let mut made = Made::new(Shape::default());
    made.run.name = "a|b <@team>".to_owned();
    let check = |text: &str| {
        text.parse::<trunkline_load::Threshold>()
            .unwrap()
            .check(&made.run.totals)
    };
    made.run.thresholds = vec![check("update.p99<1s"), check("update.p99<1us")];
    made.run
        .warnings
        .push(trunkline_load::Warning::Missing { keys: 3 });
    made.write_to(&workplace.path("run"));
    let out = workplace.text("run");
    let text = run(["report", &out, "--markdown"]).done().stdout;
    assert!(text.starts_with("<!-- trunkline report, markdown -->\n\n## <code>a&#124;b &#60;&#64;team&#62;</code>\n\n**FAILED**: 1 of 2 thresholds hold · **"), "{text}");
    let rows = |begin: &str| text.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(
        (rows("| update |"), rows("| read |"), rows("| verify |")),
        (1, 1, 1)
    );
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!([4, 8].contains(&line.matches('|').count()), "{line}");
    }
    for part in [
        "| **FAILED** |",
        "| passed |",
        "**Doubts**",
        "- <code>3 reads found nothing",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A file is replaced by one of its kind.
    let file = workplace.text("summary.md");
    for _ in 0..2 {
        run(["report", &out, "--markdown", &file]).done();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_base_is_compared_with_if_it_can_be() {
    let workplace = Workplace::new();
    let make = |name: &str, shape: Shape| {
        Made::new(shape).write_to(&workplace.path(name));
        workplace.text(name)
    };
    let slow = Shape {
        update_us: 30_000.0,
        seed: 2,
        ..Shape::default()
    };
    let (base, out) = (make("base", Shape::default()), make("run", slow));
    let report = |base: &str| {
        run(["report", &out, "--markdown", "--base", base])
            .done()
            .stdout
    };
    let text = report(&base);
    let p50 = text.lines().find(|line| line.starts_with("| update p50 |"));
    assert!(
        p50.is_some_and(|line| line.ends_with("| slower |")),
        "{text}"
    );
    let short = make(
        "short",
        Shape {
            seconds: 5,
            ..Shape::default()
        },
    );
    let text = report(&short);
    assert!(
        text.contains("- <code>the base&#58; ") && !text.contains("verdict"),
        "{text}"
    );
    run(["report", &out, "--markdown", "--base", "/no/such/run"])
        .unusable("the run cannot be read");
}
