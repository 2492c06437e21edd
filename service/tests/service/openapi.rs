//! The description of the HTTP interface.

use std::collections::BTreeSet;

use crate::support::Service;

/// Reads the routes from the source, so that none is forgotten.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../src/http/mod.rs");
    let routes = source.split(".route(\"").skip(1);
    let paths = routes.map(|route| route.split('"').next().unwrap().to_owned());
    paths.filter(|path| path != "/openapi.json").collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_has_a_route() {
    let service = Service::start().await;
    let (_, document) = service.get("/openapi.json").await;
    let described = document["paths"].as_object().unwrap().keys().cloned();
    assert_eq!(described.collect::<BTreeSet<_>>(), routes());
    assert_eq!(
        document["openapi"].as_str().map(|version| &version[..2]),
        Some("3.")
    );
    // Everything that is referred to exists.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}
