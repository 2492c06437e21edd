//! `load --target` against a service in another process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use trunkline_load::Run;

use crate::service::Service;
use crate::support::{Workplace, run};

/// A service that requires a token, with a directory for the load's files.
struct Place {
    workplace: Workplace,
    service: Service,
    url: String,
    token: String,
}

impl Place {
    fn new() -> Self {
        Self::serve(Workplace::new(), "http", &[])
    }

    /// Serves with TLS, with a certificate of an authority whose own certificate is in the file `ca.pem`.
    fn with_tls() -> Self {
        let workplace = Workplace::new();
        let (authority, key) = authority(&workplace, "ca.pem");
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &Issuer::new(authority, key));
        write(&workplace, "tls.crt", &certificate.unwrap().pem());
        write(&workplace, "tls.key", &own.serialize_pem());
        let setting = |key: &str, file| format!("server.{key}={}", workplace.text(file));
        let certificate = setting("tls_certificate_path", "tls.crt");
        let key = setting("tls_key_path", "tls.key");
        Self::serve(workplace, "https", &["--set", &certificate, "--set", &key])
    }

    fn serve(workplace: Workplace, scheme: &str, more: &[&str]) -> Self {
        let tokens = workplace.text("tokens.toml");
        let made = ["token", "--name", "load", "--scope", "read"];
        let made = run([&made[..], &["--scope", "write", "--file", &tokens]].concat()).done();
        write(&workplace, "token", &made.stdout);
        let tokens = format!("server.tokens_path={tokens}");
        let more = [&["--set", &*tokens], more].concat();
        let service = Service::start(&workplace.path("state"), &more);
        let port = service.address.rsplit(':').next().unwrap();
        Self {
            url: format!("{scheme}://localhost:{port}"),
            token: workplace.text("token"),
            service,
            workplace,
        }
    }

    /// Ends the service, and checks that its state has some keys.
    fn has(self, keys: &[&str]) {
        self.service.signal(Signal::TERM);
        assert_eq!(self.service.end().0, Some(0));
        for key in keys {
            run(["get", key, "--dir", &self.workplace.text("state")]).done();
        }
    }
}

/// Makes an authority, and a file with its certificate.
fn authority(workplace: &Workplace, name: &str) -> (CertificateParams, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(workplace, name, &params.self_signed(&key).unwrap().pem());
    (params, key)
}

fn write(workplace: &Workplace, name: &str, text: &str) -> PathBuf {
    let path = workplace.path(name);
    std::fs::write(&path, text).unwrap();
    path
}

const SMALL: [&str; 9] = [
    "load", "--keys", "300", "--ops", "600", "--batch", "50", "--proofs", "40",
];

#[test]
fn a_running_service_is_loaded_by_the_same_plans_and_its_state_checked() {
    let place = Place::new();
    let out = place.workplace.text("run");
    let target = [
        "--target",
        &*place.url,
        "--token-file",
        &place.token,
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
            &format!("service    {}", place.url),
            "of them again up to the KZG root",
            "a proof with changed values and a hash top is refused",
        ] {
            assert!(ran.stdout.contains(part), "{workload}: {ran:?}");
        }
        assert!(!ran.stdout.contains("FAILED"), "{workload}: {ran:?}");
        let made = Run::read_from(&place.workplace.path("run")).unwrap();
        let totals = &made.totals;
        assert_eq!((totals.offered, totals.failed, totals.missing), (600, 0, 0));
        assert_eq!(totals.achieved + totals.dropped, 600);
    }
    place.has(&["user000000000000"]);
}

#[test]
fn a_service_with_tls_is_loaded_if_its_authority_is_known() {
    let place = Place::with_tls();
    let ca = place.workplace.text("ca.pem");
    let target = ["--target", &place.url, "--token-file", &place.token];
    let load = |more: &[&str]| run([&SMALL[..], &target, more].concat());
    let ran = load(&["--ca-file", &ca]).done();
    assert!(!ran.stdout.contains("FAILED"), "{ran:?}");
    let unknown = format!("cannot reach {}", place.url);
    load(&[]).unusable(&unknown);
    authority(&place.workplace, "other.pem");
    load(&["--ca-file", &place.workplace.text("other.pem")]).unusable(&unknown);
    load(&["--ca-file", &place.workplace.text("none.pem")]).unusable("none.pem");
    place.has(&["user000000000000"]);
}

#[test]
fn two_generators_load_one_service_at_once_and_are_one_run() {
    let place = Place::new();
    let runs = ["1", "2"].map(|instance| place.workplace.text(instance));
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
                &place.url,
                "--token-file",
                &place.token,
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
    place.has(&["u001000000000000", "u002000000000000"]);
}

#[test]
fn what_is_no_service_or_lets_nobody_in_is_an_error_that_says_so() {
    let place = Place::new();
    let load = |more: &[&str]| run([&SMALL[..], more].concat());
    load(&["--target", &place.url]).unusable("the service refused: ");
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    load(&["--target", &url]).unusable(&format!("cannot reach {url}"));
    load(&["--target", "localhost:7460"]).unusable("write http://HOST:PORT");
    load(&["--target", "ftp://localhost"]).unusable("write http://HOST:PORT");
    let open = [
        "--target",
        "http://192.0.2.1:7460",
        "--token-file",
        &place.token,
    ];
    load(&open).unusable("a token would be sent to 192.0.2.1 without TLS");
    write(&place.workplace, "token", "two words");
    load(&["--target", &place.url, "--token-file", &place.token])
        .unusable("its file must hold one line");
    for other in [
        ["--dir", "state"],
        ["--set", "group.linger_ms=1"],
        ["--config", "a.toml"],
    ] {
        let ran = load(&["--target", &place.url, other[0], other[1]]);
        assert!(
            ran.code == 2 && ran.stderr.contains("cannot be used with"),
            "{ran:?}"
        );
    }
}
