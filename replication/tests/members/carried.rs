//! Primaries and replicas over a carrier in memory.

use std::sync::Arc;
use std::time::Duration;

use trunkline::Engine;
use trunkline::core::frame::{Frame, SecretKey};
use trunkline_replication::protocol::loss::LossError;
use trunkline_replication::protocol::takeover::TakeoverError;
use trunkline_replication::protocol::{FollowError, Stopped};
use trunkline_replication::simulated::{Faults, SimulatedCarrier};
use trunkline_replication::{
    Archive, ArchivedFrames, Following, FollowingFailure, Level, LevelError, Loss, PrimaryFailure,
    PromoteError, StartError, rejoin,
};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::member::{Member, assert_same, close, has, write};

fn carrier() -> Arc<SimulatedCarrier> {
    // Messages are short, so that frames come in chunks.
    Arc::new(SimulatedCarrier::new(1, 4096))
}

const LOSS: Loss = Loss {
    k: 1,
    is_forced: false,
    timeout: Duration::from_secs(2),
};

#[tokio::test]
async fn replicas_follow_and_are_counted() {
    let ([a, b, c], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let followers = [b.follow(&carrier).await, c.follow(&carrier).await];
    for key in ["one", "two", "three"] {
        let version = write(&primary, key).await.version;
        primary.replicated(version, HANGS_AFTER).await.unwrap();
        primary.followed(version, 2, HANGS_AFTER).await.unwrap();
        for following in &followers {
            assert_same(&primary, following);
        }
    }
    let too_many = primary.followed(1, 3, HANGS_AFTER).await;
    assert!(matches!(too_many, Err(LevelError::TooFewMembers(3))));
}

#[tokio::test]
async fn a_carrier_that_does_not_answer_is_a_timeout_and_no_failure() {
    let ([a, ..], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    carrier.set_cut(true);
    let version = write(&primary, "key").await.version;
    let waited = primary.replicated(version, Duration::from_millis(50)).await;
    assert!(matches!(
        waited,
        Err(LevelError::Timeout { reached, .. }) if reached < version
    ));
    primary
        .wait_for(version, Level::Durable, HANGS_AFTER)
        .await
        .unwrap();
    carrier.set_cut(false);
    primary.replicated(version, HANGS_AFTER).await.unwrap();
}

#[tokio::test]
async fn everything_arrives_over_a_carrier_that_fails() {
    let ([a, b, _], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let following = b.follow(&carrier).await;
    carrier.set_faults(Faults {
        dropped: 10,
        unanswered: 10,
        delayed: 10,
        withheld: 20,
        disordered: 20,
        failed: 10,
    });
    let mut version = 0;
    for key in 0..20 {
        version = write(&primary, &key.to_string()).await.version;
    }
    primary.replicated(version, HANGS_AFTER).await.unwrap();
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();
    assert_same(&primary, &following);
}

#[tokio::test]
async fn a_promotion_waits_while_the_servers_of_the_carrier_choose_a_leader() {
    let ([a, b, _], carrier) = (Member::three(), carrier());
    let old = a.lead(&carrier).await;
    let following = b.follow(&carrier).await;
    let version = write(&old, "key").await.version;
    old.followed(version, 1, HANGS_AFTER).await.unwrap();
    drop(old.shutdown(HANGS_AFTER).await);
    let replica = following.stop().await;

    carrier.fail_next(2);
    let options = b.options.clone();
    let following = Following::start(replica, carrier.clone(), options, None).await;
    let following = following.unwrap();
    has(&following, version).await;
    carrier.fail_next(4);
    let new = b.promote(following, &carrier).await;
    assert!(new.engine().snapshot().version() >= version);
}

#[tokio::test]
async fn a_promoted_replica_fences_the_primary_whose_surplus_is_kept_in_a_file() {
    let ([a, b, c], carrier) = (Member::three(), carrier());
    let apart = Arc::new(carrier.connect());
    let old = a.lead(&apart).await;
    let (following, other) = (b.follow(&carrier).await, c.follow(&carrier).await);
    let common = write(&old, "common").await.version;
    old.followed(common, 2, HANGS_AFTER).await.unwrap();

    // The old primary is disconnected, and continues to write.
    apart.set_cut(true);
    let surplus = write(&old, "surplus").await.version;
    let new = b.promote(following, &carrier).await;
    assert!(new.epoch() > old.epoch());
    let version = write(&new, "new").await.version;
    new.followed(version, 1, HANGS_AFTER).await.unwrap();
    assert_same(&new, &other);

    apart.set_cut(false);
    let failure = tokio::time::timeout(HANGS_AFTER, old.stopped())
        .await
        .unwrap();
    assert!(matches!(
        failure,
        PrimaryFailure::Stopped(Stopped::Fenced { epoch: Some(_), .. })
    ));
    let late = old.replicated(surplus, HANGS_AFTER).await;
    assert!(matches!(late, Err(LevelError::Failed { .. })));
    assert!(old.engine().put("late", "no").await.is_err());
    drop(old.shutdown(HANGS_AFTER).await);

    // It cannot lead again, and its surplus is not merged.
    let refused = a.try_lead(&carrier).await;
    assert!(matches!(
        refused,
        Err(StartError::Takeover(
            TakeoverError::EpochOver { .. } | TakeoverError::Diverged { .. }
        ))
    ));
    let rejoined = rejoin(
        a.config(),
        carrier.clone(),
        a.options.clone(),
        a.surplus_file(),
    );
    let rejoined = rejoined.await.unwrap();
    assert_eq!(rejoined.common.version, common);
    assert_eq!(rejoined.surplus, Some((surplus, surplus)));
    assert!(std::fs::metadata(a.surplus_file()).unwrap().len() > 0);
    let again = a.follow(&carrier).await;
    new.followed(version, 2, HANGS_AFTER).await.unwrap();
    assert_same(&new, &again);
}

#[tokio::test]
async fn of_two_replicas_that_promote_themselves_one_becomes_the_primary() {
    let ([a, b, c], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let apart = Arc::new(carrier.connect());
    let (first, second) = (b.follow(&apart).await, c.follow(&carrier).await);
    let version = write(&primary, "one").await.version;
    primary.followed(version, 2, HANGS_AFTER).await.unwrap();
    let promoted = |following: Following, member: &Member| {
        following.promote_if_silent(carrier.clone(), member.options.clone())
    };

    // A primary that heard nothing, because it was disconnected, finds out.
    apart.set_cut(true);
    let later = write(&primary, "two").await.version;
    primary.replicated(later, HANGS_AFTER).await.unwrap();
    let replica = first.replica().clone();
    let heard = promoted(first, &b).await;
    assert!(matches!(heard, Err(PromoteError::Heard)), "{heard:?}");
    let first = Following::start(replica, carrier.clone(), b.options.clone(), None).await;
    let first = first.unwrap();
    has(&first, later).await;
    has(&second, later).await;

    drop(primary.shutdown(HANGS_AFTER).await);
    let are_in_silence = async {
        let silence = a.options.beat * 2;
        while first.status().unheard() < silence || second.status().unheard() < silence {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS_AFTER, are_in_silence)
        .await
        .unwrap();
    let (first, second) = tokio::join!(promoted(first, &b), promoted(second, &c));
    let refused = match (&first, &second) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => panic!("one of them must be the primary: {both:?}"),
    };
    assert!(matches!(refused, PromoteError::Heard), "{refused}");
}

#[tokio::test]
async fn a_primary_that_is_opened_again_publishes_what_it_had_not() {
    let ([a, b, _], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let following = b.follow(&carrier).await;
    let version = write(&primary, "one").await.version;
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();
    carrier.set_cut(true);
    let version = write(&primary, "two").await.version;
    primary.engine().shutdown().await.unwrap();
    drop(primary);
    carrier.set_cut(false);

    let primary = a.lead(&carrier).await;
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();
    assert_same(&primary, &following);
}

#[tokio::test]
async fn a_replica_opened_again_reads_on_where_it_was() {
    let ([a, b, _], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let following = b.follow(&carrier).await;
    let version = write(&primary, "one").await.version;
    has(&following, version).await;
    following.stop().await.shutdown().await.unwrap();
    let version = write(&primary, "two").await.version;
    let following = b.follow(&carrier).await;
    has(&following, version).await;
    assert_same(&primary, &following);
}

#[tokio::test]
async fn a_lost_tail_stops_everybody_and_the_highest_member_is_promoted() {
    let ([a, b, c], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let (low, high) = (b.follow(&carrier).await, c.follow(&carrier).await);
    let first = write(&primary, "first").await.version;
    primary.followed(first, 2, HANGS_AFTER).await.unwrap();
    low.stop().await.shutdown().await.unwrap();
    let version = write(&primary, "followed").await.version;
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();

    carrier.with_stream(|stream| stream.lose_behind(0));
    carrier.lose_values();
    let failure = tokio::time::timeout(HANGS_AFTER, primary.stopped())
        .await
        .unwrap();
    assert!(matches!(failure, PrimaryFailure::Stopped(_)));
    drop(primary.shutdown(HANGS_AFTER).await);
    let failure = tokio::time::timeout(HANGS_AFTER, high.failed())
        .await
        .unwrap();
    assert!(matches!(
        *failure.unwrap(),
        FollowingFailure::Follow(FollowError::Replaced { .. } | FollowError::Ahead { .. })
    ));
    close(high).await;

    // For followed(1), two of the three must answer: the primary's own directory counts, too.
    let low = b.follow_anew(&carrier).await;
    let alone = low
        .promote_after_loss(carrier.clone(), b.options.clone(), LOSS)
        .await;
    assert!(matches!(
        alone,
        Err(PromoteError::Loss(LossError::TooFew {
            answered: 1,
            needed: 2,
            ..
        }))
    ));
    let (low, high) = (b.follow_anew(&carrier).await, c.follow_anew(&carrier).await);
    let lower = low
        .promote_after_loss(carrier.clone(), b.options.clone(), LOSS)
        .await;
    assert!(matches!(
        lower,
        Err(PromoteError::Loss(LossError::NotHighest { .. }))
    ));
    let low = b.follow_anew(&carrier).await;
    let promoted = high
        .promote_after_loss(carrier.clone(), c.options.clone(), LOSS)
        .await;
    let promoted = promoted.unwrap();
    close(low).await;
    let low = b.follow_anew(&carrier).await;
    let next = write(&promoted, "next").await.version;
    promoted.followed(next, 1, HANGS_AFTER).await.unwrap();
    assert!(next > version);
    assert_same(&promoted, &low);
}

/// Serves the frames of a primary's own log.
struct LogArchive(Engine, SecretKey);

impl Archive for LogArchive {
    fn frames(&self, from: u64, until: u64) -> ArchivedFrames<'_> {
        let mut feed = self.0.feed(from);
        let entries = std::iter::from_fn(move || feed.try_next().unwrap());
        let frames: Vec<_> = entries.map(|entry| Frame::sign(entry, &self.1)).collect();
        let has_all = frames
            .last()
            .is_some_and(|last| last.entry.record.version >= until);
        Box::pin(async move { Ok(if has_all { frames } else { Vec::new() }) })
    }
}

#[tokio::test]
async fn what_the_stream_no_longer_has_comes_from_an_archive() {
    let ([a, b, c], carrier) = (Member::three(), carrier());
    let primary = a.lead(&carrier).await;
    let mut version = 0;
    for key in ["one", "two", "three"] {
        version = write(&primary, key).await.version;
    }
    primary.replicated(version, HANGS_AFTER).await.unwrap();
    let frames = carrier.with_stream(|stream| stream.ends().last);
    // The next sign of life has the tip.
    let has_beaten = async {
        while carrier.with_stream(|stream| stream.ends().last) <= frames + 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS_AFTER, has_beaten).await.unwrap();
    carrier.with_stream(|stream| stream.trim(frames + 1));

    let alone = c.follow(&carrier).await;
    let failure = tokio::time::timeout(HANGS_AFTER, alone.failed())
        .await
        .unwrap();
    assert!(matches!(
        *failure.unwrap(),
        FollowingFailure::Follow(FollowError::Gap { wanted: 1, oldest }) if oldest == version
    ));
    let archive = LogArchive(primary.engine().clone(), a.options.key.clone());
    let replica = b.open_replica().await;
    let archive: Option<Arc<dyn Archive>> = Some(Arc::new(archive));
    let following = Following::start(replica, carrier.clone(), b.options.clone(), archive);
    let following = following.await.unwrap();
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();
    let next = write(&primary, "four").await.version;
    primary.followed(next, 1, HANGS_AFTER).await.unwrap();
    assert_same(&primary, &following);
}
