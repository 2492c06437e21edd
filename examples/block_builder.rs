//! Builds blocks: tries candidates as forks, commits the best one, and takes a block back that turns out to be wrong.
//!
//! ```sh
//! cargo run --example block_builder
//! ```

use std::error::Error;

use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::{
    Batch, CommitOptions, Config, Durable, Engine, Fork, ForkCommitError, ForkError, Outcome,
    Requirement, SubmitError, TopKind,
};

/// A transfer, and the fee that the builder gets for it.
#[derive(Clone, Copy)]
struct Transfer {
    from: &'static str,
    to: &'static str,
    amount: u64,
    fee: u64,
}

const fn transfer(from: &'static str, to: &'static str, amount: u64, fee: u64) -> Transfer {
    Transfer {
        from,
        to,
        amount,
        fee,
    }
}

/// A block that was tried: its state, and the fees of the transfers that took effect.
struct Candidate {
    fork: Fork,
    fees: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open_blocking(Config::in_directory(directory.path()))?;
    let mut genesis = Batch::new();
    genesis
        .put("alice", "100")
        .put("bob", "20")
        .put("carol", "0");
    engine.submit_blocking(genesis)?.durable_blocking()?;

    // Bob can pay Carol only after Alice has paid him: the order decides on the content of the block.
    let waiting = [
        transfer("bob", "carol", 50, 9),
        transfer("alice", "bob", 40, 2),
        transfer("alice", "carol", 30, 4),
    ];
    let first = build(&engine, &waiting)?;
    assert_eq!(balances(&engine)?, [24, 1, 80]);
    println!("block 1 is version {}", first.version);

    let second = build(&engine, &[transfer("carol", "alice", 70, 1)])?;
    assert_eq!(balances(&engine)?, [94, 1, 9]);
    println!("block 2 is version {}", second.version);

    // Block 2 turns out to be wrong. It is not erased: a new version has the state before it.
    let reverted = engine
        .revert_to_blocking(first.version)?
        .durable_blocking()?;
    assert_eq!(reverted.state_digest, first.state_digest);
    let commit_id = first.commit_id;
    assert_eq!(reverted.outcome, Outcome::Reverted { commit_id });
    println!("version {} takes block 2 back", reverted.version);

    // Candidates that were not committed leave nothing.
    assert_eq!(engine.metrics().forks, 0);
    engine.shutdown_blocking()?;
    Ok(())
}

/// Tries three orders of the waiting transfers, and commits the one with the highest fees. Begins again if somebody
/// else submitted something in the meantime.
fn build(engine: &Engine, waiting: &[Transfer]) -> Result<Durable, Box<dyn Error>> {
    loop {
        let parent = engine.fork()?;
        let mut by_fee = waiting.to_vec();
        by_fee.sort_by_key(|transfer| std::cmp::Reverse(transfer.fee));
        let mut by_amount = waiting.to_vec();
        by_amount.sort_by_key(|transfer| std::cmp::Reverse(transfer.amount));
        let mut last_first = waiting.to_vec();
        last_first.reverse();
        let candidates = [by_fee, by_amount, last_first].map(|order| attempt(&parent, &order));
        let candidates: Vec<Candidate> = candidates.into_iter().collect::<Result<_, _>>()?;
        let best = candidates
            .into_iter()
            .max_by_key(|candidate| candidate.fees);
        let mut best = best.ok_or("no candidate")?;

        // Others can check what the block would do before it exists: with its root, and a proof.
        let kzg_root = best.fork.kzg_root()?;
        let proof = best.fork.prove(["alice"], TopKind::Kzg)?;
        let tree_id = engine.params().tree_id();
        let verified = verify(&proof, &Expected::KzgRoot { tree_id, kzg_root })?;
        assert!(matches!(verified.claim(b"alice"), Some(Claim::Present(_))));

        let options = CommitOptions {
            metadata: format!("fees {}", best.fees).into(),
            ..CommitOptions::default()
        };
        match best.fork.commit_with_blocking(options) {
            Ok(receipt) => return Ok(receipt.durable_blocking()?),
            Err(ForkCommitError::Submit(SubmitError::Overtaken { .. })) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Applies transfers in their order to a fork of the parent. Those that cannot be paid are left out.
fn attempt(parent: &Fork, order: &[Transfer]) -> Result<Candidate, ForkError> {
    let mut candidate = Candidate {
        fork: parent.fork()?,
        fees: 0,
    };
    for transfer in order {
        let fork = &mut candidate.fork;
        let (from, to) = (balance(fork, transfer.from)?, balance(fork, transfer.to)?);
        let Some(left) = from.checked_sub(transfer.amount + transfer.fee) else {
            continue;
        };
        let mut batch = Batch::new();
        // Not needed here, where nobody else changes the fork. A batch that is refused changes nothing.
        batch.require(
            transfer.from,
            Requirement::value(from.to_string().as_bytes()),
        );
        batch.put(transfer.from, left.to_string());
        batch.put(transfer.to, (to + transfer.amount).to_string());
        if fork.apply(batch)?.is_applied() {
            candidate.fees += transfer.fee;
        }
    }
    Ok(candidate)
}

fn balance(fork: &Fork, account: &str) -> Result<u64, ForkError> {
    Ok(fork
        .get(account.as_bytes())?
        .map_or(0, |value| parsed(&value)))
}

fn balances(engine: &Engine) -> Result<[u64; 3], Box<dyn Error>> {
    let values = engine.multi_get(&["alice", "bob", "carol"])?;
    let balances: Vec<u64> = values.iter().flatten().map(|value| parsed(value)).collect();
    Ok(balances.try_into().map_err(|_| "an account is missing")?)
}

/// Returns a balance; 0 if there is none.
fn parsed(value: &[u8]) -> u64 {
    let digits = std::str::from_utf8(value).unwrap_or_default();
    digits.parse().unwrap_or_default()
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
