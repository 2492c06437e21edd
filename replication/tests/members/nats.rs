//! Primaries and replicas over three real NATS servers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline::Engine;
use trunkline::core::frame::{Frame, SecretKey};
use trunkline_replication::carrier::{Append, Carrier};
use trunkline_replication::nats::NatsCarrier;
use trunkline_replication::protocol::{Pinned, Reader, Stopped, Stray};
use trunkline_replication::wire::{Body, Chunk, Message};
use trunkline_replication::{Following, Loss, Primary, PrimaryFailure};
use trunkline_testkit::nats::Cluster;
use trunkline_testkit::patience::HANGS_AFTER;
use trunkline_testkit::random::Random;

use crate::member::{Member, assert_same, close, has, write};
use crate::servers::{connect, wait_for};

/// The environment variable for the number of rounds with real servers.
const ROUNDS_VARIABLE: &str = "TRUNKLINE_REPLICATION_ROUNDS";
const ROUNDS: u64 = 20;

type Nats = Arc<NatsCarrier>;

async fn stopped(primary: &Primary) -> PrimaryFailure {
    tokio::time::timeout(HANGS_AFTER, primary.stopped())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_append_is_refused() {
    let cluster = Cluster::start(3);
    let carrier = connect(&cluster, "stale").await;
    let last = carrier.ends().await.unwrap().last;
    let append =
        |text: &'static str, last| carrier.append(Bytes::from_static(text.as_bytes()), last);
    let first = append("first", last).await;
    assert_eq!(first, Append::Appended(last + 1));
    for stale in [0, last, last + 2, last + 100] {
        assert_eq!(append("second", stale).await, Append::Refused);
    }
    assert_eq!(append("second", last + 1).await, Append::Appended(last + 2));

    // A writer that connected before a renewal can no longer append.
    let other = connect(&cluster, "stale").await;
    other.renew().await.unwrap();
    assert!(matches!(
        append("third", last + 2).await,
        Append::Unknown(_)
    ));
    let third = other.append(Bytes::from_static(b"third"), last + 2).await;
    assert_eq!(third, Append::Appended(last + 3));
    let read = other.read(last + 1, 10).await.unwrap();
    let read: Vec<(u64, &[u8])> = read
        .iter()
        .map(|read| (read.sequence, &read.bytes[..]))
        .collect();
    let expected: [(u64, &[u8]); 3] = [
        (last + 1, b"first"),
        (last + 2, b"second"),
        (last + 3, b"third"),
    ];
    assert_eq!(read, expected);

    other.empty().await.unwrap();
    let ends = other.ends().await.unwrap();
    assert_eq!((ends.first, ends.last), (last + 4, last + 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_even_rounds_of_failures() {
    rounds_from(0).await;
}

/// Runs at the same time as the even rounds: servers that choose a leader mostly wait.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_odd_rounds_of_failures() {
    rounds_from(1).await;
}

async fn rounds_from(first: u64) {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut cluster = Cluster::start(3);
    for round in (first..rounds).step_by(2) {
        let began = std::time::Instant::now();
        let carrier = connect(&cluster, &format!("round-{round}")).await;
        let mut world = World::start(carrier, round).await;
        match round % 5 {
            0 => world.kill_a_server(&mut cluster, false).await,
            1 => world.kill_the_primary().await,
            2 => world.two_primaries().await,
            3 => world.kill_a_server(&mut cluster, true).await,
            _ => world.forge().await,
        }
        world.end().await;
        println!("round {round}: {} ms", began.elapsed().as_millis());
    }
}

/// A primary and two replicas over their own stream.
struct World {
    carrier: Nats,
    members: [Member; 3],
    primary: Option<Primary>,
    followers: Vec<(usize, Following)>,
    random: Random,
    /// Acknowledged versions, with their commit ids.
    acknowledged: Vec<(u64, [u8; 32])>,
}

impl World {
    async fn start(carrier: Nats, seed: u64) -> Self {
        let members = Member::three();
        let primary = members[0].lead(&carrier).await;
        let followers = vec![
            (1, members[1].follow(&carrier).await),
            (2, members[2].follow(&carrier).await),
        ];
        let mut world = Self {
            carrier,
            members,
            primary: Some(primary),
            followers,
            random: Random(seed),
            acknowledged: Vec::new(),
        };
        world.write(3).await;
        world
    }

    fn primary(&self) -> &Primary {
        self.primary.as_ref().unwrap()
    }

    /// Writes versions, and waits until they are replicated and followed.
    async fn write(&mut self, count: u64) {
        let mut last = 0;
        for _ in 0..count {
            let key = self.random.below(1000).to_string();
            let durable = write(self.primary(), &key).await;
            self.acknowledged.push((durable.version, durable.commit_id));
            last = durable.version;
        }
        let k = usize::from(!self.followers.is_empty());
        self.primary().replicated(last, HANGS_AFTER).await.unwrap();
        self.primary().followed(last, k, HANGS_AFTER).await.unwrap();
    }

    async fn kill_a_server(&mut self, cluster: &mut Cluster, with_files: bool) {
        let server = self.random.below(3) as usize;
        cluster.kill(server);
        if with_files {
            cluster.wipe(server);
        }
        self.write(3).await;
        cluster.restart(server);
        self.write(2).await;
        wait_for(&self.carrier).await;
    }

    /// Writes versions without waiting, and stops the primary meanwhile.
    async fn kill_the_primary(&mut self) {
        let old = self.primary.take().unwrap();
        for key in 0..20 {
            drop(
                old.engine()
                    .put(format!("{key}"), vec![1; 2000])
                    .await
                    .unwrap(),
            );
        }
        let replicated = old.reached(trunkline_replication::Level::Replicated);
        let engine = old.engine().clone();
        drop(old);
        self.promote(replicated).await;
        engine.shutdown().await.unwrap();
        self.rejoin_first().await;
    }

    /// Promotes a replica while the primary writes.
    async fn two_primaries(&mut self) {
        let old = self.primary.take().unwrap();
        let engine = old.engine().clone();
        let writing = tokio::spawn(async move {
            let mut acknowledged = 0;
            for key in 0.. {
                let Ok(receipt) = engine.put(format!("{key}"), vec![1; 500]).await else {
                    return acknowledged;
                };
                let Ok(durable) = receipt.durable().await else {
                    return acknowledged;
                };
                let replicated = old.replicated(durable.version, HANGS_AFTER).await;
                if replicated.is_err() {
                    let failure = stopped(&old).await;
                    let is_fenced =
                        matches!(failure, PrimaryFailure::Stopped(Stopped::Fenced { .. }));
                    assert!(is_fenced, "{failure}");
                    drop(old.shutdown(HANGS_AFTER).await);
                    return acknowledged;
                }
                acknowledged = durable.version;
            }
            acknowledged
        });
        self.promote(0).await;
        let acknowledged = writing.await.unwrap();
        let at = self.primary().engine().synced_version();
        assert!(
            at >= acknowledged,
            "version {acknowledged} was acknowledged and lost"
        );
        self.rejoin_first().await;
    }

    async fn promote(&mut self, least: u64) {
        let (member, following) = self.followers.remove(0);
        let primary = self.members[member].promote(following, &self.carrier).await;
        assert!(primary.engine().synced_version() >= least);
        self.primary = Some(primary);
    }

    /// Makes the directory of the first primary follow.
    async fn rejoin_first(&mut self) {
        let following = self.members[0].follow_anew(&self.carrier).await;
        self.followers.push((0, following));
        self.write(2).await;
    }

    /// Appends a valid extension under another key.
    async fn forge(&mut self) {
        let ends = self.carrier.ends().await.unwrap();
        let pinned = Pinned {
            tree_id: self.members[0].params.tree_id(),
            keys: self.members[0].options.keys.clone(),
        };
        let mut reader = Reader::new(pinned, ends.first);
        for carried in self.carrier.read(ends.first, 1000).await.unwrap() {
            reader.read(carried.sequence, carried.bytes).unwrap();
        }
        let regime = *reader.regime().unwrap();
        let entry = forged_entry(self.primary()).await;
        let frame = Frame::sign(entry, &SecretKey::generate([66; 32]));
        let mut last = reader.next() - 1;
        loop {
            let message = Message {
                writer: regime.writer,
                epoch: regime.epoch,
                behind: last,
                body: Body::Frames(vec![Chunk {
                    version: regime.tip.version + 1,
                    index: 0,
                    count: 1,
                    content: frame.encode(Default::default()).unwrap().into(),
                }]),
            };
            // Signs of life come in between.
            if let Append::Appended(_) = self.carrier.append(message.encode(), last).await {
                break;
            }
            last = self.carrier.ends().await.unwrap().last;
        }
        let old = self.primary.take().unwrap();
        assert!(matches!(stopped(&old).await, PrimaryFailure::Stopped(_)));
        drop(old.shutdown(HANGS_AFTER).await);
        let (_, following) = &self.followers[0];
        let is_noticed = async {
            while !matches!(following.status().last_stray, Some((_, Stray::Forged(_)))) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HANGS_AFTER, is_noticed).await.unwrap();
        assert_eq!(following.replica().position(), regime.tip);
        self.promote(regime.tip.version).await;
        self.rejoin_first().await;
    }

    /// Checks that all members have everything that was acknowledged.
    async fn end(mut self) {
        self.write(1).await;
        let primary = self.primary.take().unwrap();
        let version = primary.engine().synced_version();
        let snapshot = primary.engine().snapshot();
        for (version, commit_id) in &self.acknowledged {
            let found = match *version == snapshot.version() {
                true => snapshot.commit_id(),
                false => snapshot.prove_ancestor(*version).unwrap().commit_id,
            };
            assert_eq!(found, *commit_id, "version {version} was lost");
        }
        for (_, following) in self.followers {
            has(&following, version).await;
            assert_same(&primary, &following);
            close(following).await;
        }
        drop(snapshot);
        primary.shutdown(HANGS_AFTER).await.unwrap();
    }
}

/// Returns an entry that could follow, made by a copy of the primary.
async fn forged_entry(primary: &Primary) -> trunkline::core::store::log::LogEntry {
    let directory = tempfile::tempdir().unwrap();
    let config = trunkline::Config::in_directory(directory.path());
    let builder = Engine::builder(config).params(&primary.engine().params());
    let copy = builder
        .open_replica(vec![SecretKey::generate([66; 32]).public()])
        .await
        .unwrap();
    let mut feed = primary.engine().feed(1);
    while let Some(entry) = feed.try_next().unwrap() {
        copy.apply(Frame::sign(entry, &SecretKey::generate([66; 32])))
            .await
            .unwrap();
    }
    let copy = copy.promote(primary.epoch() - 1).await.unwrap();
    let version = copy
        .put("forged", "value")
        .await
        .unwrap()
        .durable()
        .await
        .unwrap()
        .version;
    let entry = copy.feed(version).try_next().unwrap().unwrap();
    copy.shutdown().await.unwrap();
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_lose_all_their_files_lose_nothing_that_was_followed() {
    let mut cluster = Cluster::start(3);
    let carrier = connect(&cluster, "wiped").await;
    let mut world = World::start(carrier, 1).await;
    let version = world.primary().engine().synced_version();
    for (_, following) in &world.followers {
        has(following, version).await;
    }
    (0..3).for_each(|server| cluster.kill(server));
    (0..3).for_each(|server| cluster.wipe(server));
    let old = world.primary.take().unwrap();
    let surplus = write(&old, "surplus").await.version;
    let engine = old.engine().clone();
    drop(old);
    engine.shutdown().await.unwrap();
    (0..3).for_each(|server| cluster.restart(server));

    // The members connect again, since the stream is another one.
    for (_, following) in std::mem::take(&mut world.followers) {
        close(following).await;
    }
    let carrier = connect(&cluster, "wiped").await;
    let refused = world.members[0].try_lead(&carrier).await;
    assert!(refused.is_err(), "it remembers another stream");
    let followers = [
        world.members[1].follow(&carrier).await,
        world.members[2].follow(&carrier).await,
    ];
    let [first, second] = followers;
    let loss = Loss {
        k: 1,
        is_forced: false,
        timeout: HANGS_AFTER,
    };
    let options = world.members[1].options.clone();
    let promoted = first
        .promote_after_loss(carrier.clone(), options, loss)
        .await
        .unwrap();
    assert_eq!(promoted.engine().synced_version(), version);
    close(second).await;
    world.carrier = carrier;
    world.followers = vec![(2, world.members[2].follow_anew(&world.carrier).await)];
    world.primary = Some(promoted);
    world.write(1).await;
    let config = world.members[0].config();
    let options = world.members[0].options.clone();
    let file = world.members[0].surplus_file();
    let rejoined = trunkline_replication::rejoin(config, world.carrier.clone(), options, file);
    assert_eq!(rejoined.await.unwrap().surplus, Some((surplus, surplus)));
    world
        .followers
        .push((0, world.members[0].follow(&world.carrier).await));
    world.end().await;
}
