//! Opens the object store of a location. Options and credentials come only from the environment, so that they appear in
//! no process list and no error message.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::parse_url_opts;
use object_store::path::Path;
use url::Url;

use crate::error::LocationError;

/// Prefixes of the environment variables by which stores are configured.
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Returns the store of a location, and the prefix in it.
pub(crate) fn open(location: &str) -> Result<(Arc<dyn ObjectStore>, Path), LocationError> {
    if !location.contains("://") {
        return directory(FilePath::new(location));
    }
    let url = Url::parse(location)?;
    let is_secret = !url.username().is_empty() || url.password().is_some();
    if is_secret || url.query().is_some() || url.fragment().is_some() {
        return Err(LocationError::Secret);
    }
    match url.scheme() {
        "file" => directory(&url.to_file_path().map_err(|()| LocationError::Path)?),
        "memory" => Err(LocationError::Memory),
        _ => remote(&url),
    }
}

/// Returns the store of a directory, which need not exist. Writes are synced before they are acknowledged.
fn directory(path: &FilePath) -> Result<(Arc<dyn ObjectStore>, Path), LocationError> {
    let path = std::path::absolute(path).map_err(|_| LocationError::Path)?;
    let prefix = Path::from_absolute_path(path).map_err(object_store::Error::from)?;
    Ok((Arc::new(LocalFileSystem::new().with_fsync(true)), prefix))
}

fn remote(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), LocationError> {
    // This fails if the process has already chosen a provider, which is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (store, prefix) = parse_url_opts(url, options())?;
    Ok((store.into(), prefix))
}

/// Returns the options of stores from the environment.
fn options() -> impl Iterator<Item = (String, String)> {
    let pairs = std::env::vars_os();
    let pairs =
        pairs.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    pairs.filter(|(name, _)| VARIABLES.iter().any(|start| name.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_url_or_the_path_of_a_directory() {
        let (store, prefix) = open("/var/backups/tree one").unwrap();
        assert!(store.to_string().starts_with("LocalFileSystem"));
        assert_eq!(prefix.as_ref(), "var/backups/tree one");
        assert_eq!(open("file:///var/backups/tree%20one").unwrap().1, prefix);
        assert!(matches!(open("memory:///"), Err(LocationError::Memory)));
        assert!(matches!(open("ftp://host/x"), Err(LocationError::Store(_))));
        let (store, prefix) = open("s3://bucket/a/b").unwrap();
        assert_eq!(
            (store.to_string(), prefix.as_ref()),
            ("AmazonS3(bucket)".to_owned(), "a/b")
        );
    }

    #[test]
    fn a_location_with_a_secret_is_refused_and_not_repeated() {
        for location in [
            "s3://key:topsecret@bucket/tree",
            "s3://bucket/tree?sig=topsecret",
            "s3://bucket/tree#topsecret",
            "s3://topsecret@:x/y",
        ] {
            let error = open(location).map(|_| ()).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("topsecret"),
                "{error:?}"
            );
        }
    }

    /// Google and Azure are compiled in; nothing else was tested with them.
    #[test]
    fn google_and_azure_are_built_in() {
        for (location, variable) in [("gs://bucket/x", "google"), ("az://container/x", "account")] {
            let error = open(location).map(|_| String::new());
            let error = error.unwrap_or_else(|error| format!("{error:?}"));
            assert!(!error.contains("not enabled"), "{variable}: {error}");
        }
    }
}
