use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trunkline::{Config, Engine};
use trunkline_load::Run;
use trunkline_service::api::Api;
use trunkline_service::auth::Authenticator;
use trunkline_service::{Backend, Peer, Source, router};

use crate::support::{Workplace, run};

/// A service on loopback for an engine, which requires a token.
struct Service {
    url: String,
    engine: Engine,
    _runtime: Runtime,
    _directory: TempDir,
}

const TOKEN: &str = "s3cret";

async fn authenticate(request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    match sent.is_some_and(|sent| sent.as_bytes() == format!("Bearer {TOKEN}").as_bytes()) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Returns a caller on this machine.
fn local() -> Peer {
    Peer {
        source: Source::Unix { uid: 0, pid: None },
        certificate: None,
        is_loopback: true,
        is_tls: false,
    }
}

impl Service {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path());
        let server = config.server.clone();
        let engine = Engine::open_blocking(config).unwrap();
        let backend = Backend::Engine(engine.clone());
        let authenticator = Arc::new(Authenticator::open(&server).unwrap());
        let api = Arc::new(Api::new(backend, server, Box::new(|| Ok(()))));
        let router = router(api, &authenticator)
            .layer(Extension(local()))
            .layer(from_fn(authenticate));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            engine,
            _runtime: runtime,
            _directory: directory,
        }
    }
}

fn workplace_with_token() -> (Workplace, String) {
    let workplace = Workplace::new();
    std::fs::write(workplace.path("token"), format!("{TOKEN}\n")).unwrap();
    let token = workplace.text("token");
    (workplace, token)
}

const SMALL: [&str; 9] = [
    "load", "--keys", "300", "--ops", "600", "--batch", "50", "--proofs", "40",
];

#[test]
fn a_running_service_is_loaded_by_the_same_plans_and_its_state_checked() {
    let service = Service::start();
    let (workplace, token) = workplace_with_token();
    let out = workplace.text("run");
    let target = [
        "--target",
        &*service.url,
        "--token-file",
        &token,
        "--out",
        &out,
    ];
    for (workload, more) in [
        ("a", ["--rate", "20000"]),
        ("d", ["--rate", "20000"]),
        ("e", ["--concurrency", "4"]),
        ("f", ["--concurrency", "4"]),
        ("verify", ["--rate", "5000"]),
    ] {
        let mut load = [&SMALL[..], &target, &more, &["--workload", workload]].concat();
        if more[0] == "--concurrency" {
            load.push("--closed");
        }
        let ran = run(load).done();
        for part in [
            &format!("service    {}", service.url),
            "of them again up to the KZG root",
            "a proof with changed values and a hash top is refused",
        ] {
            assert!(ran.stdout.contains(part), "{workload}: {ran:?}");
        }
        assert!(!ran.stdout.contains("FAILED"), "{workload}: {ran:?}");
        let made = Run::read_from(&workplace.path("run")).unwrap();
        let totals = &made.totals;
        assert_eq!((totals.offered, totals.failed, totals.missing), (600, 0, 0));
        assert_eq!(totals.achieved + totals.dropped, 600);
    }
    assert!(service.engine.get(b"user000000000000").unwrap().is_some());
}

#[test]
fn two_generators_load_one_service_at_once_and_are_one_run() {
    let service = Service::start();
    let (workplace, token) = workplace_with_token();
    let runs = ["1", "2"].map(|instance| workplace.text(instance));
    std::thread::scope(|scope| {
        for (instance, out) in ["1", "2"].into_iter().zip(&runs) {
            let load = [
                "load",
                "--keys",
                "200",
                "--batch",
                "20",
                "--proofs",
                "40",
                "--rate",
                "2000",
                "--duration",
                "5",
                "--instance",
                instance,
                "--seed",
                instance,
                "--target",
                &service.url,
                "--token-file",
                &token,
                "--out",
                out,
            ];
            scope.spawn(move || run(load).done());
        }
    });
    run([
        "report",
        &runs[0],
        &runs[1],
        "--merge",
        "--threshold",
        "failed<1",
    ])
    .done();
    for key in ["u001000000000000", "u002000000000000"] {
        assert!(
            service.engine.get(key.as_bytes()).unwrap().is_some(),
            "{key}"
        );
    }
}

#[test]
fn what_is_no_service_or_lets_nobody_in_is_an_error_that_says_so() {
    let service = Service::start();
    let (workplace, token) = workplace_with_token();
    let load = |more: &[&str]| run([&SMALL[..], more].concat());
    load(&["--target", &service.url]).unusable("the service refused: ");
    let nobody = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    load(&["--target", &url]).unusable(&format!("cannot reach {url}"));
    load(&["--target", "localhost:7460"]).unusable("write http://HOST:PORT");
    load(&["--target", "ftp://localhost"]).unusable("write http://HOST:PORT");
    let open = ["--target", "http://192.0.2.1:7460", "--token-file", &token];
    load(&open).unusable("a token would be sent to 192.0.2.1 without TLS");
    std::fs::write(workplace.path("token"), "two words").unwrap();
    load(&["--target", &service.url, "--token-file", &token])
        .unusable("its file must hold one line");
    for other in [
        ["--dir", "state"],
        ["--set", "group.linger_ms=1"],
        ["--config", "a.toml"],
    ] {
        let ran = load(&["--target", &service.url, other[0], other[1]]);
        assert!(
            ran.code == 2 && ran.stderr.contains("cannot be used with"),
            "{ran:?}"
        );
    }
}
