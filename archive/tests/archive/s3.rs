//! An S3 server on loopback, and faults between it and the archive at each request in turn: refused and lost requests,
//! lost responses, cut bodies, and no response at all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use trunkline_archive::{Archive, Keep, Trust, object_store};

use crate::support::Rig;

const BUCKET: &str = "bucket";
const KEY: (&str, &str) = ("an-access-key", "a-secret-key");
/// The time that the client waits for a response.
const TIMEOUT: Duration = Duration::from_millis(400);

/// The fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server answers 503.
    Unavailable,
    /// The connection is lost before the server does anything.
    RequestLost,
    /// The connection is lost after the server has carried out the request.
    AnswerLost,
    /// The body of the response ends early.
    BodyCut,
    /// The server never answers.
    Silent,
}

const FAULTS: [Fault; 5] = [
    Fault::Unavailable,
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::BodyCut,
    Fault::Silent,
];

/// The number of requests since the last change of the plan, and the fault of one of them.
#[derive(Debug, Default)]
struct Plan {
    requests: u64,
    fault: Option<(u64, Fault)>,
}

struct Server {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    root: TempDir,
}

impl Server {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY.0, KEY.1));
        let (service, plan) = (builder.build(), Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, service, Arc::clone(&plan)));
        Self {
            address,
            plan,
            root,
        }
    }

    /// Returns an archive on this server, whose client repeats requests up to `retries` times.
    fn archive(&self, prefix: &str, retries: usize) -> Archive {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            max_retries: retries,
            retry_timeout: Duration::from_secs(60),
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(5),
                base: 2.0,
            },
        };
        let options = ClientOptions::new()
            .with_allow_http(true)
            .with_timeout(TIMEOUT);
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id(KEY.0)
            .with_secret_access_key(KEY.1)
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .unwrap();
        Archive::on(Arc::new(store), prefix.into())
    }

    /// Sets the request that fails from now on, counted from 0; or none.
    async fn plan(&self, fault: Option<(u64, Fault)>) {
        *self.plan.lock().await = Plan { requests: 0, fault };
    }

    async fn requests(&self) -> u64 {
        self.plan.lock().await.requests
    }

    /// Replaces the objects below one prefix by those of another.
    fn copy(&self, from: &str, to: &str) {
        let at = |prefix: &str| -> PathBuf { self.root.path().join(BUCKET).join(prefix) };
        let _ = std::fs::remove_dir_all(at(to));
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .args([at(from), at(to)])
            .status();
        assert!(copied.unwrap().success());
    }
}

async fn serve(listener: TcpListener, service: S3Service, plan: Arc<Mutex<Plan>>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (service, plan) = (service.clone(), plan.clone());
        let answer = service_fn(move |request| answer(service.clone(), plan.clone(), request));
        tokio::spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            // A fault ends the connection.
            let _ = builder.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

type Answer = Response<s3s::Body>;

async fn answer(
    service: S3Service,
    plan: Arc<Mutex<Plan>>,
    request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let lost = || Err(std::io::ErrorKind::ConnectionReset.into());
    let fault = {
        let mut plan = plan.lock().await;
        plan.requests += 1;
        let number = plan.requests - 1;
        plan.fault
            .and_then(|(failing, fault)| (failing == number).then_some(fault))
    };
    let serviced = service.call(request.map(s3s::Body::from));
    match fault {
        None => serviced.await.map_err(std::io::Error::other),
        Some(Fault::Unavailable) => {
            let answer = Response::builder().status(503);
            Ok(answer.body(s3s::Body::from(String::new())).unwrap())
        }
        Some(Fault::RequestLost) => lost(),
        Some(Fault::AnswerLost) => {
            let answer = serviced.await.map_err(std::io::Error::other)?;
            answer
                .into_body()
                .collect()
                .await
                .map_err(std::io::Error::other)?;
            lost()
        }
        Some(Fault::BodyCut) => {
            let answer = serviced.await.map_err(std::io::Error::other)?;
            cut(answer).await
        }
        Some(Fault::Silent) => std::future::pending().await,
    }
}

/// Returns a response whose body ends early, together with the connection. A response without a body is lost.
async fn cut(answer: Answer) -> Result<Answer, std::io::Error> {
    let (mut head, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    if body.is_empty() {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    head.headers.insert("content-length", body.len().into());
    let half: Result<Frame<Bytes>, std::io::Error> = Ok(Frame::data(body.slice(..body.len() / 2)));
    let lost = Err(std::io::ErrorKind::ConnectionReset.into());
    let body = http_body_util::StreamBody::new(stream::iter([half, lost]));
    Ok(Response::from_parts(
        head,
        s3s::Body::http_body_unsync(body),
    ))
}

#[tokio::test]
async fn a_server_takes_backups_and_gives_every_version_back() {
    let (server, mut rig) = (Server::start().await, Rig::new());
    let archive = server.archive("trees/one", 3);
    let mut roots = Vec::new();
    for _ in 0..3 {
        roots.extend(rig.write(2));
        rig.back_up(&archive).await.unwrap();
    }
    for root in &roots[1..] {
        assert_eq!(rig.restored(&archive, Some(root.version)).await.1, *root);
    }
    let found = archive
        .verify(Some(&rig.config("scratch")), &Trust::default())
        .await
        .unwrap();
    assert!(found.is_whole(), "{found:?}");
    // Another prefix is another archive.
    assert!(server.archive("trees", 3).params().await.is_err());
}

#[tokio::test]
async fn a_wrong_secret_key_is_an_error_that_does_not_show_it() {
    let (server, mut rig) = (Server::start().await, Rig::new());
    rig.write(1);
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", server.address))
        .with_bucket_name(BUCKET)
        .with_access_key_id(KEY.0)
        .with_secret_access_key("another-secret")
        .with_allow_http(true)
        .build();
    let archive = Archive::on(Arc::new(store.unwrap()), "x".into());
    let error = rig.back_up(&archive).await.unwrap_err();
    let shown = format!("{error} {error:?} {archive} {archive:?}");
    assert!(!shown.contains("another-secret"), "{shown}");
}

/// Backups, restores and pruning, each with every fault at each request. First the client does not repeat requests, so
/// that each fault shows; then it does, so that none shows.
#[tokio::test]
async fn every_step_is_complete_or_an_error_whatever_request_fails() {
    let (server, mut rig) = (Server::start().await, Rig::new());
    rig.write(2);
    rig.back_up(&server.archive("begin", 0)).await.unwrap();
    let last = *rig.write(2).last().unwrap();
    let (mut rounds, mut failed) = (0, 0);
    for fault in FAULTS {
        for retries in [0, 4] {
            for request in 0.. {
                server.copy("begin", "now");
                let archive = server.archive("now", retries);
                server.plan(Some((request, fault))).await;
                let backup = rig.back_up(&archive).await;
                let was_hit = server.requests().await > request;
                server.plan(None).await;
                rounds += 1;
                failed += u64::from(backup.is_err());
                let again = rig.back_up(&archive).await.unwrap();
                assert_eq!(again.last.commit_id, last.commit_id);
                // A successful attempt left nothing to do.
                assert!(
                    backup.is_err() || again.versions == 0,
                    "{fault:?} at {request}"
                );
                if !was_hit {
                    break;
                }
            }
            assert_eq!(rig.restored(&server.archive("now", 0), None).await.1, last);
        }
    }
    assert!(rounds > 30 && failed > 10, "{failed} of {rounds}");
}

#[tokio::test]
async fn a_restore_is_complete_or_an_error_whatever_request_fails() {
    let (server, mut rig) = (Server::start().await, Rig::new());
    let archive = server.archive("tree", 0);
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    let last = *rig.write(2).last().unwrap();
    rig.back_up(&archive).await.unwrap();
    for fault in FAULTS {
        for request in 0.. {
            server.plan(Some((request, fault))).await;
            let config = rig.config("restored");
            let restored = archive.restore(None, &config, &Trust::default()).await;
            let was_hit = server.requests().await > request;
            assert_eq!(
                rig.path("restored").exists(),
                restored.is_ok(),
                "{fault:?} at {request}"
            );
            // The client requests the rest of a body that was cut.
            assert!(
                restored.is_err() == was_hit || fault == Fault::BodyCut,
                "{fault:?} at {request}"
            );
            if restored.is_ok() {
                assert_eq!(crate::support::root_in(&rig.path("restored")), last);
                std::fs::remove_dir_all(rig.path("restored")).unwrap();
            }
            if !was_hit {
                break;
            }
        }
    }
    server.plan(None).await;
    assert_eq!(rig.restored(&archive, None).await.1, last);
}

#[tokio::test]
async fn pruning_leaves_a_whole_base_whatever_request_fails() {
    let (server, mut rig) = (Server::start().await, Rig::new());
    let begin = server.archive("begin", 0);
    rig.write(2);
    rig.back_up(&begin).await.unwrap();
    let last = *rig.write(2).last().unwrap();
    let policy = trunkline_archive::BasePolicy::Always;
    begin.back_up(&rig.closed(), policy, None).await.unwrap();
    for fault in FAULTS {
        for request in 0.. {
            server.copy("begin", "now");
            let archive = server.archive("now", 0);
            server.plan(Some((request, fault))).await;
            let keep = Keep {
                unfinished: false,
                ..Keep::default()
            };
            let prune = async || {
                archive
                    .prune(&archive.catalog().await?.prunable(&keep))
                    .await
            };
            let pruned = prune().await;
            let was_hit = server.requests().await > request;
            server.plan(None).await;
            let found = archive.verify(None, &Trust::default()).await.unwrap();
            assert!(
                found.is_whole(),
                "{fault:?} at {request}: {pruned:?} {found:?}"
            );
            prune().await.unwrap();
            assert_eq!(archive.catalog().await.unwrap().bases().count(), 1);
            if !was_hit {
                break;
            }
        }
        assert_eq!(rig.restored(&server.archive("now", 0), None).await.1, last);
    }
}

/// Runs in its own process, with the options of the server in its environment.
#[tokio::test]
#[ignore = "is run by the test below"]
async fn with_options_from_the_environment() {
    let mut rig = Rig::new();
    let last = rig.write(2)[1];
    let archive = Archive::at("s3://bucket/of/a tree").unwrap();
    rig.back_up(&archive).await.unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, last);
}

#[tokio::test]
async fn options_and_credentials_come_from_the_environment() {
    let server = Server::start().await;
    let address = format!("http://{}", server.address);
    let run = async |secret: &str| {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                "s3::with_options_from_the_environment",
                "--ignored",
            ])
            .env("AWS_ENDPOINT", &address)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", secret);
        child.output().await.unwrap()
    };
    let refused = run("another-secret").await;
    assert!(!refused.status.success());
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("another-secret"));
    let output = run(KEY.1).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(server.root.path().join("bucket/of/a tree/tree").exists());
}
