//! The options decide which level a caller waits for, and a timeout differs from a failure.

use std::sync::Arc;
use std::time::Duration;

use trunkline_replication::simulated::SimulatedCarrier;
use trunkline_replication::{Acknowledge, AcknowledgeError, Level, LevelError};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::member::Member;

#[tokio::test]
async fn a_submission_is_acknowledged_at_the_level_that_the_options_name() {
    let ([mut a, b, _], carrier) = (Member::three(), Arc::new(SimulatedCarrier::new(1, 4096)));
    a.options.acknowledge = Acknowledge {
        level: Level::Followed(1),
        timeout: Duration::from_millis(50),
    };
    let primary = a.lead(&carrier).await;
    let receipt = primary.engine().put("key", "value").await.unwrap();
    let early = primary.acknowledged(&receipt).await;
    let Err(AcknowledgeError::Level { durable, source }) = early else {
        panic!("no replica has it: {early:?}");
    };
    let LevelError::Timeout { version, level, .. } = source else {
        panic!("it may come: {source}");
    };
    assert_eq!((version, level), (durable.version, Level::Followed(1)));

    let _following = b.follow(&carrier).await;
    primary.followed(version, 1, HANGS_AFTER).await.unwrap();
    let acknowledged = primary.acknowledged(&receipt).await.unwrap();
    assert_eq!(acknowledged.commit_id, durable.commit_id);
}

#[tokio::test]
async fn the_level_is_durable_if_the_options_do_not_name_one() {
    let ([a, ..], carrier) = (Member::three(), Arc::new(SimulatedCarrier::new(1, 4096)));
    let primary = a.lead(&carrier).await;
    let receipt = primary.engine().put("key", "value").await.unwrap();
    primary.engine().shutdown().await.unwrap();
    // The shutdown made it durable, and `durable` is the default level.
    assert!(primary.acknowledged(&receipt).await.is_ok());
}
