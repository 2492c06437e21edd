//! The versions of the other engines.

/// Returns the versions from the lock file of this build. Only direct dependencies count, since some engines bring
/// older versions of others.
pub(crate) fn locked() -> Vec<String> {
    const ENGINES: [&str; 5] = ["fjall", "commonware-storage", "nomt", "firewood", "jmt"];
    let lock = include_str!("../Cargo.lock");
    let own = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"peers\""));
    let listed = own.into_iter().flat_map(str::lines).filter_map(|line| {
        let entry = line.trim().trim_matches([',', '"']);
        let name = entry.split(' ').next()?;
        ENGINES.contains(&name).then_some((name, entry))
    });
    listed
        .map(|(name, entry)| match entry.split_once(' ') {
            Some(_) => entry.to_owned(),
            None => format!("{name} {}", only_version(lock, name)),
        })
        .collect()
}

/// Returns the version of a package that is locked in only one version.
fn only_version<'a>(lock: &'a str, name: &str) -> &'a str {
    let heading = format!("name = \"{name}\"\nversion = \"");
    let after = lock
        .split_once(&heading)
        .map_or("unknown", |(_, after)| after);
    after.split('"').next().unwrap_or("unknown")
}
