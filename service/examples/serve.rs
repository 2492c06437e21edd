//! Serves an engine over HTTP on loopback, without TLS and tokens: `serve DIRECTORY PORT`.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use trunkline::{Config, Engine};
use trunkline_service::api::Api;
use trunkline_service::backend::Backend;
use trunkline_service::server::router;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = &arguments[..] else {
        return Err("usage: serve DIRECTORY PORT".into());
    };
    let config = Config::in_directory(directory);
    let server = config.server.clone();
    let engine = Engine::open(config).await?;
    let api = Api::new(Backend::Engine(engine), server, Box::new(|| Ok(())));
    let router = router(Arc::new(api));
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _closed = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
