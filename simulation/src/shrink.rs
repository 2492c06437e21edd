//! Shrinking: a failing world is made smaller while it still fails.

use std::collections::BTreeSet;

use crate::run::{Outcome, Selection, run};

/// The maximum number of worlds that are run to shrink one.
const ATTEMPTS_MAX: u32 = 400;
/// The number of schedules that are tried for each smaller plan: leaving out steps changes the order of tasks.
const SCHEDULES: u64 = 3;

/// Returns the smallest failing part found of a failing world, with its failure. Leaves out steps and faults, first
/// half of them, then fewer and fewer.
pub fn shrink(failing: &Selection, outcome: Outcome) -> (Selection, Outcome) {
    shrink_with(failing, outcome, run)
}

fn shrink_with(
    failing: &Selection,
    outcome: Outcome,
    run: impl Fn(&Selection) -> Outcome,
) -> (Selection, Outcome) {
    let numbers = outcome.numbers;
    let mut search = Search {
        smallest: (failing.clone(), outcome),
        attempts: 0,
        run,
    };
    let mut size = (numbers as usize / 2).max(1);
    while search.attempts < ATTEMPTS_MAX {
        let kept = search.kept(numbers);
        let smaller = kept.chunks(size).any(|chunk| search.fails_without(chunk));
        match smaller {
            true => size = size.min(search.kept(numbers).len() / 2).max(1),
            false if size == 1 => break,
            false => size /= 2,
        }
    }
    search.smallest
}

struct Search<R> {
    smallest: (Selection, Outcome),
    attempts: u32,
    run: R,
}

impl<R: Fn(&Selection) -> Outcome> Search<R> {
    fn kept(&self, numbers: u32) -> Vec<u32> {
        let left_out = &self.smallest.0.left_out;
        let all = 1..=numbers;
        all.filter(|number| !left_out.contains(number)).collect()
    }

    /// Leaves out more, and keeps the result if it still fails.
    fn fails_without(&mut self, more: &[u32]) -> bool {
        let mut selection = self.smallest.0.clone();
        let left_out: BTreeSet<u32> = more.iter().copied().collect();
        selection.left_out.extend(left_out);
        let own = [selection.schedule].into_iter();
        for schedule in own.chain((1..SCHEDULES).map(Some)) {
            selection.schedule = schedule;
            self.attempts += 1;
            let outcome = (self.run)(&selection);
            if outcome.failure.is_some() {
                self.smallest = (selection, outcome);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Counts, Failed};

    /// A world of 300 steps that fails while steps 5 and 217 are in it.
    fn fails_with_two(selection: &Selection) -> Outcome {
        let fails = !selection.left_out.contains(&5) && !selection.left_out.contains(&217);
        Outcome {
            counts: Counts::default(),
            trace_hash: 0,
            numbers: 300,
            failure: fails.then(|| Failed {
                report: "both".to_owned(),
                plan: String::new(),
            }),
        }
    }

    #[test]
    fn what_is_not_needed_for_the_failure_is_left_out() {
        let failing = Selection::default();
        let outcome = fails_with_two(&failing);
        let (smallest, outcome) = shrink_with(&failing, outcome, fails_with_two);
        let kept = (1..=300).filter(|number| !smallest.left_out.contains(number));
        assert_eq!(kept.collect::<Vec<_>>(), [5, 217]);
        assert!(outcome.failure.is_some());
    }
}
