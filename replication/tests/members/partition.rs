//! Network partitions: a server, and then the primary, is cut off from the others, and comes back.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use trunkline::Replica;
use trunkline_replication::nats::NatsCarrier;
use trunkline_replication::protocol::Stopped;
use trunkline_replication::{
    Following, Level, LevelError, Primary, PrimaryFailure, PromoteError, StartError, StreamError,
};
use trunkline_testkit::namespaces::{Namespace, Network};
use trunkline_testkit::nats::Cluster;
use trunkline_testkit::patience::HANGS_AFTER;

use crate::member::{Member, assert_same, close, has, write};
use crate::servers::{connect_to, wait_for};

/// The threads of a machine, which use its network.
struct Machine(Runtime);

impl Machine {
    fn start(namespace: &Namespace) -> Self {
        let namespace = namespace.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || namespace.enter())
            .build();
        Self(runtime.unwrap())
    }

    /// Runs `work` on this machine.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let task = self.0.spawn(work);
        self.0.block_on(task).unwrap()
    }
}

/// Promotes a replica. Tries again while the servers choose a leader, since nothing has changed then.
async fn promote_at_last(
    member: &Member,
    mut following: Following,
    carrier: &Arc<NatsCarrier>,
) -> Primary {
    loop {
        let replica = following.replica().clone();
        let options = || member.options.clone();
        match following.promote(carrier.clone(), options()).await {
            Ok(primary) => return primary,
            Err(PromoteError::Stream(StreamError::Carrier(_))) => {}
            Err(error) => panic!("not promoted: {error}"),
        }
        wait_for(carrier).await;
        following = follow_at_last(member, replica, carrier).await;
    }
}

/// Follows as soon as the servers answer.
async fn follow_at_last(
    member: &Member,
    replica: Replica,
    carrier: &Arc<NatsCarrier>,
) -> Following {
    loop {
        let options = member.options.clone();
        match Following::start(replica.clone(), carrier.clone(), options, None).await {
            Ok(following) => return following,
            Err(StreamError::Carrier(_)) => wait_for(carrier).await,
            Err(error) => panic!("it does not follow: {error}"),
        }
    }
}

/// Leads as soon as the servers answer.
async fn lead_at_last(member: &Member, carrier: &Arc<NatsCarrier>) -> Primary {
    loop {
        match member.try_lead(carrier).await {
            Ok(primary) => return primary,
            Err(StartError::Stream(StreamError::Carrier(_))) => wait_for(carrier).await,
            Err(error) => panic!("it does not lead: {error}"),
        }
    }
}

#[test]
fn a_server_and_a_primary_that_are_cut_off_lose_nothing_that_was_acknowledged() {
    let network = match Network::create(5) {
        Ok(network) => network,
        Err(reason) => return println!("skipped, networks cannot be split here: {reason}"),
    };
    let began = Instant::now();
    let [servers @ .., left, right] = &network.namespaces[..] else {
        unreachable!("five were created")
    };
    let cluster = Cluster::start_in(servers);
    let (left_machine, right_machine) = (Machine::start(left), Machine::start(right));
    let [a, b, _] = Member::three();
    let connect = |machine: &Machine| machine.run(connect_to(cluster.urls(), "partition"));
    let (left_carrier, right_carrier) = (connect(&left_machine), connect(&right_machine));
    let carrier = left_carrier.clone();
    let (a, old) = left_machine.run(async move {
        let primary = lead_at_last(&a, &carrier).await;
        (a, primary)
    });
    let carrier = right_carrier.clone();
    let (b, following) = right_machine.run(async move {
        let replica = b.open_replica().await;
        let following = follow_at_last(&b, replica, &carrier).await;
        (b, following)
    });

    servers[0].set_cut(true);
    let (old, written) = left_machine.run(async move {
        let durable = write(&old, "without a server").await;
        old.replicated(durable.version, HANGS_AFTER).await.unwrap();
        old.followed(durable.version, 1, HANGS_AFTER).await.unwrap();
        (old, durable)
    });
    servers[0].set_cut(false);
    println!("without a server: {} ms", began.elapsed().as_millis());
    let mut acknowledged = vec![(written.version, written.commit_id)];

    // The primary continues to write while it is cut off, and is replaced.
    left.set_cut(true);
    let (old, surplus) = left_machine.run(async move {
        let surplus = write(&old, "surplus").await.version;
        let waited = old.replicated(surplus, Duration::from_millis(500)).await;
        assert!(
            matches!(waited, Err(LevelError::Timeout { .. })),
            "{waited:?}"
        );
        (old, surplus)
    });
    let (b, new, common) = right_machine.run(async move {
        let new = promote_at_last(&b, following, &right_carrier).await;
        let durable = write(&new, "new").await;
        new.replicated(durable.version, HANGS_AFTER).await.unwrap();
        (b, new, durable)
    });
    println!("promoted: {} ms", began.elapsed().as_millis());
    acknowledged.push((common.version, common.commit_id));
    assert_eq!(
        common.version, surplus,
        "both have written a version of this number"
    );

    left.set_cut(false);
    let (a, again) = left_machine.run(async move {
        let stopped = tokio::time::timeout(HANGS_AFTER, old.stopped())
            .await
            .unwrap();
        let is_fenced = matches!(stopped, PrimaryFailure::Stopped(Stopped::Fenced { .. }));
        assert!(is_fenced, "{stopped}");
        assert!(old.reached(Level::Replicated) < surplus);
        drop(old.shutdown(HANGS_AFTER).await);
        let again = a.follow_anew(&left_carrier).await;
        has(&again, common.version).await;
        (a, again)
    });
    assert!(std::fs::metadata(a.surplus_file()).unwrap().len() > 0);
    assert_same(&new, &again);
    let snapshot = new.engine().snapshot();
    for (version, commit_id) in acknowledged {
        let found = match version == snapshot.version() {
            true => snapshot.commit_id(),
            false => snapshot.prove_ancestor(version).unwrap().commit_id,
        };
        assert_eq!(found, commit_id, "version {version} was lost");
    }
    drop(snapshot);
    left_machine.run(close(again));
    right_machine.run(async move { new.shutdown(HANGS_AFTER).await.unwrap() });
    drop((a, b));
    println!("all: {} ms", began.elapsed().as_millis());
}
