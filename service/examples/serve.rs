//! Serves an engine on loopback until it is killed: `serve DIRECTORY PORT [TOKENS]`.

use trunkline::{Config, Engine};
use trunkline_service::{Backend, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve DIRECTORY PORT [TOKENS]".into());
    };
    let mut config = Config::in_directory(directory);
    config.server.listen = format!("127.0.0.1:{port}");
    config.server.tokens_path = arguments.next().unwrap_or_default().into();
    let server = Server::bind(&config.server)?;
    let backend = Backend::Engine(Engine::open(config).await?);
    println!("http://127.0.0.1:{port}/");
    let service = server.in_front_of(backend, Box::new(|| Ok(())));
    service.serve(std::future::pending()).await?;
    Ok(())
}
