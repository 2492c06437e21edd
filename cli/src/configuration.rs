//! `config show`, `config check`, and the settings of every command that opens an engine.

use std::path::{Path, PathBuf};
use std::sync::Once;

use clap::{Args, Subcommand};
use toml_edit::{DocumentMut, Table, TomlError};
use trunkline::config::{Layers, Origin, RELOADABLE};
use trunkline::{Config, ConfigError, Engine};

use crate::Exit;
use crate::error::CommandError;
use crate::output;
use crate::single::cannot_open;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting as TOML, with the source of those that are not defaults.
    Show(ShowArguments),
    /// Check file, environment and flags. If they are invalid, the exit code is 2 and the first mistake is named.
    Check(SettingsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Show the source of every setting, and whether it can be reloaded while the engine runs.
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Sources of settings, which override the defaults, and each other in this order: file, environment
/// (`TRUNKLINE_<SECTION>_<KEY>`), flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArguments {
    /// Configuration file (TOML). `load` reloads it when it changes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, such as group.linger_ms=2; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// Returns the configuration file, if any.
    pub(crate) fn input(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }
}

/// Returns the settings for an engine on a directory.
pub(crate) fn for_directory(
    arguments: &SettingsArguments,
    directory: &Path,
) -> Result<Config, CommandError> {
    Ok(build(arguments, directory)?)
}

/// Opens an engine that reloads the configuration file, if there is one, when it changes.
pub(crate) fn open_watching(
    arguments: &SettingsArguments,
    config: Config,
) -> Result<Engine, CommandError> {
    let directory = config.engine.directory.clone();
    let failed = cannot_open(&directory);
    let mut builder = Engine::builder(config);
    if let Some(file) = &arguments.config {
        let arguments = arguments.clone();
        builder = builder.watch(file, move |_| build(&arguments, &directory));
    }
    builder.open_blocking().map_err(failed)
}

fn build(arguments: &SettingsArguments, directory: &Path) -> Result<Config, ConfigError> {
    let mut config = layers(arguments)?.build()?;
    config.engine.directory = directory.to_owned();
    Ok(config)
}

pub(crate) fn layers(arguments: &SettingsArguments) -> Result<Layers, ConfigError> {
    let mut layers = Config::layers();
    if let Some(file) = &arguments.config {
        layers = layers.file(file)?;
    }
    layers = layers.environment(std::env::vars_os())?;
    tell_ignored(&layers);
    for flag in &arguments.set {
        layers = layers.set(flag)?;
    }
    Ok(layers)
}

/// Warns once about ignored variables: the layers are built again at each reload.
fn tell_ignored(layers: &Layers) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        for name in layers.ignored_variables() {
            output::tell(format!(
                "warning: the environment variable {name} is ignored, because Kubernetes sets it for a service called \
                 trunkline; give the service another name, or set enableServiceLinks: false"
            ));
        }
    });
}

pub(crate) fn run(command: &ConfigCommand) -> Result<Exit, CommandError> {
    match command {
        ConfigCommand::Check(arguments) => {
            layers(arguments)?.build()?;
            output::show("the configuration is valid\n");
        }
        ConfigCommand::Show(arguments) => {
            let layers = layers(&arguments.settings)?;
            let text = layers.build()?.to_toml()?;
            output::print(with_origins(&text, &layers, arguments.origin)?)?;
        }
    }
    Ok(Exit::Done)
}

/// Returns the same TOML with comments: the origin of each setting that is not a default, or the origin of every setting
/// and whether it can be reloaded.
fn with_origins(text: &str, layers: &Layers, of_all: bool) -> Result<String, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    for (section, content) in document.iter_mut() {
        let keys = content.as_table_mut().into_iter().flat_map(Table::iter_mut);
        for (mut key, _) in keys {
            let origin = layers.origin(&section, &key);
            let comment = match of_all {
                true => format!("# {origin}; {}\n", kind(&section, &key)),
                false if origin == Origin::Default => continue,
                false => format!("# {origin}\n"),
            };
            key.leaf_decor_mut().set_prefix(comment);
        }
    }
    Ok(document.to_string())
}

fn kind(section: &str, key: &str) -> &'static str {
    let name = format!("{section}.{key}");
    match RELOADABLE.contains(&name.as_str()) {
        true => "reloadable",
        false => "static",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_loaded_again_and_says_where_it_came_from() {
        let layers = Config::layers().set("group.linger_ms=7").unwrap();
        let config = layers.build().unwrap();
        let text = with_origins(&config.to_toml().unwrap(), &layers, false).unwrap();
        assert!(text.contains("# flag group.linger_ms=7\nlinger_ms = 7\n"));
        let again = Config::layers().text("shown.toml", &text).unwrap();
        assert_eq!(again.build().unwrap(), config);

        let text = with_origins(&config.to_toml().unwrap(), &layers, true).unwrap();
        assert!(text.contains("# flag group.linger_ms=7; reloadable\nlinger_ms = 7\n"));
        assert!(text.contains("# default; static\nsegment_bytes_max = "));
        let again = Config::layers().text("shown.toml", &text).unwrap();
        assert_eq!(again.build().unwrap(), config);
    }

    #[test]
    fn a_changed_file_is_read_again_under_the_flags_and_for_the_same_directory() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("my.toml");
        let arguments = SettingsArguments {
            config: Some(file.clone()),
            set: vec!["group.in_flight_max=3".to_owned()],
        };
        let rebuilt = |text: &str| {
            std::fs::write(&file, text).unwrap();
            build(&arguments, Path::new("state"))
        };
        for linger_ms in [1, 7] {
            let text = format!("[group]\nlinger_ms = {linger_ms}\nin_flight_max = 9\n");
            let config = rebuilt(&text).unwrap();
            assert_eq!(config.group.linger_ms, linger_ms);
            assert_eq!(config.group.in_flight_max, 3);
            assert_eq!(config.engine.directory, Path::new("state"));
        }
        let error = rebuilt("[group]\nlinger = 1\n").unwrap_err().to_string();
        assert!(
            error.contains("my.toml:2: unknown key group.linger"),
            "{error}"
        );
    }
}
