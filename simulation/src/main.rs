fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap());
    let (from, to) = (arguments.next().unwrap(), arguments.next().unwrap());
    let prints = arguments.next().is_some();
    let began = std::time::Instant::now();
    let (mut batches, mut failed) = (0, 0);
    for seed in from..to {
        let selection = trunkline_simulation::Selection {
            seed,
            prints,
            ..Default::default()
        };
        let outcome = trunkline_simulation::run(&selection);
        batches += outcome.counts.batches;
        if let Some(failure) = &outcome.failure {
            failed += 1;
            println!("seed {seed}: {}", failure.report);
        }
        if prints {
            println!("{:?}", outcome.counts);
        }
    }
    println!(
        "{batches} batches in {:?}, {failed} failed",
        began.elapsed()
    );
}
