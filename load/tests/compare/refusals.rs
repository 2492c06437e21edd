use trunkline_load::OperationKind;
use trunkline_load::compare::{
    CompareError, Counts, Metric, Observed, Quantile, SECONDS_MIN, Settings, WhyLeftOut, compare,
};

fn steady(seconds: usize) -> Observed {
    Observed {
        achieved: vec![100.0; seconds],
        ..Observed::default()
    }
}

fn refusal(before: &[Observed], after: &[Observed]) -> CompareError {
    compare(before, after, &Settings::default()).expect_err("nothing to compare")
}

#[test]
fn too_few_seconds_say_how_many_are_needed() {
    let error = refusal(&[steady(60)], &[steady(60), steady(12)]);
    assert_eq!(error, CompareError::Seconds { seconds: 12 });
    assert!(error.to_string().contains(&SECONDS_MIN.to_string()));
}

#[test]
fn a_side_without_runs_is_refused() {
    assert_eq!(refusal(&[], &[steady(60)]), CompareError::NoRun);
}

#[test]
fn runs_in_which_nothing_happened_are_refused() {
    let idle = Observed {
        achieved: vec![0.0; 60],
        ..Observed::default()
    };
    assert_eq!(refusal(&[steady(60)], &[idle]), CompareError::Idle);
}

#[test]
fn figures_without_enough_samples_are_left_out_and_named() {
    let with = |kind, each: u64, seconds: usize| {
        let mut counts = vec![Counts::of([(100, each)]); seconds];
        counts.resize(60, Counts::default());
        let latency = [(kind, counts)].into();
        let achieved = vec![100.0; 60];
        [Observed { achieved, latency }]
    };
    let reads = with(OperationKind::Read, 500, 60);
    let comparison = compare(&reads, &reads, &Settings::default()).expect("comparable");
    assert_eq!(comparison.metrics.len(), 3);
    assert_eq!(comparison.left_out.len(), 1);
    let left_out = comparison.left_out[0];
    assert_eq!(left_out.why, WhyLeftOut::Tail(30));
    let (kind, quantile) = (OperationKind::Read, Quantile::P999);
    assert_eq!(left_out.metric, Metric::Latency { kind, quantile });

    let updates = with(OperationKind::Update, 500, 60);
    let comparison = compare(&reads, &updates, &Settings::default()).expect("comparable");
    assert_eq!(comparison.metrics.len(), 1);
    assert!(
        comparison
            .left_out
            .iter()
            .all(|one| one.why == WhyLeftOut::OneSide)
    );

    let few = with(OperationKind::Read, 50_000, 5);
    let comparison = compare(&few, &few, &Settings::default()).expect("comparable");
    assert!(
        comparison
            .left_out
            .iter()
            .all(|one| one.why == WhyLeftOut::Seconds(5))
    );
}
