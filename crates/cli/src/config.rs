//! `mutt config`: the settings that change while services run, each change written down in the audit.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use mutt_core::db::live_settings::{ChangeError, change};
use mutt_core::domain::audit::Author;
use mutt_core::redis::live_settings::{self, Change, DEFINITIONS, Definition};
use serde::Serialize;
use serde_json::json;

use crate::connection::{DatabaseArgs, RedisArgs, SettingsArgs};
use crate::exit::Exit;
use crate::output::{Output, table};

const EXAMPLES: &str = "\
Services take a change over within moments when they run with DYNAMIC_CONFIG_ENABLED=true; `mutt up` does.

Examples:
  mutt config list
  mutt config get moog_rate_limit
  mutt config set moog_rate_limit 20 --reason 'Moogsoft is slow today'
  mutt config unset moog_rate_limit";

/// Show and change the settings that services take over while they run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all settings: what is set, what they may be, what they do.
    List {
        #[command(flatten)]
        redis: RedisArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Show one setting.
    Get {
        /// Its name, as `mutt config list` shows it.
        key: String,
        #[command(flatten)]
        redis: RedisArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Change one setting for all services.
    Set {
        /// Its name, as `mutt config list` shows it.
        key: String,
        /// Its new value.
        value: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Give one setting back to each service's own.
    Unset {
        /// Its name, as `mutt config list` shows it.
        key: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// Why; goes into the audit.
    #[arg(long)]
    reason: Option<String>,
    /// Who; goes into the audit.
    #[arg(long, env = "USER", default_value = "mutt config")]
    by: String,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// One setting as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    key: &'static str,
    /// `None` while each service's own setting counts.
    value: Option<String>,
    default: &'static str,
    allowed: String,
    group: &'static str,
    about: &'static str,
}

impl Shown {
    fn new(definition: &'static Definition, value: Option<String>) -> Self {
        Self {
            key: definition.key,
            value,
            default: definition.default,
            allowed: definition.kind.allowed(),
            group: definition.group.as_str(),
            about: definition.about,
        }
    }
}

/// # Errors
/// For an unknown setting or a value that does not fit (64), and when Redis or PostgreSQL is away.
pub(crate) async fn run(args: Args, out: Output) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List { redis, settings } => {
            let shown = read(&redis, &settings).await?;
            out.result(&shown, |shown| list(shown))?;
        }
        Action::Get { key, redis, settings } => {
            let shown = read(&redis, &settings).await?.into_iter().find(|shown| shown.key == key);
            let Some(shown) = shown else {
                // The check knows which name may have been meant.
                let error = live_settings::check(&key, "").err();
                bail!(Exit::usage(
                    error.map_or_else(|| format!("no setting `{key}`"), |error| error.to_string())
                ));
            };
            out.result(&shown, one)?;
        }
        Action::Set { key, value, change } => {
            let change = change.make(&key, Some(&value)).await?;
            say(out, &change)?;
        }
        Action::Unset { key, change } => {
            let change = change.make(&key, None).await?;
            say(out, &change)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(redis: &RedisArgs, settings: &SettingsArgs) -> anyhow::Result<Vec<Shown>> {
    let mut redis = redis.connect(settings).await?.connection;
    let values = live_settings::read_all(&mut redis).await.context("reading the settings")?;
    Ok(DEFINITIONS.iter().zip(values).map(|(definition, value)| Shown::new(definition, value)).collect())
}

impl ChangeArgs {
    /// Writes the audit row and the setting; neither stays without the other.
    async fn make(&self, key: &str, value: Option<&str>) -> anyhow::Result<Change> {
        let mut redis = self.redis.connect(&self.settings).await?.connection;
        let database = self.database.connect(&self.settings).await?;
        let author = Author { name: &self.by, reason: self.reason.as_deref(), correlation_id: None };
        change(&database, &mut redis, key, value, author).await.map_err(refused)
    }
}

fn refused(error: ChangeError) -> anyhow::Error {
    let exit = match &error {
        ChangeError::Setting(fault) if !fault.is_transient() => {
            return anyhow!(Exit::usage(fault.to_string()));
        }
        ChangeError::Setting(_) => "Redis did not take it",
        ChangeError::NotAudited { .. } | ChangeError::LeftUnaudited { .. } => {
            "PostgreSQL did not take its audit row"
        }
    };
    anyhow!(error).context(Exit::unavailable(exit))
}

fn say(out: Output, change: &Change) -> anyhow::Result<()> {
    let Change { key, before, after } = change;
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(each service's own)".to_owned());
    let words = format!("{key}: {} -> {}", shown(before), shown(after));
    out.result(&json!({ "key": key, "before": before, "after": after }), |_| words)
}

fn list(settings: &[Shown]) -> String {
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|shown| {
            let value = shown.value.clone().unwrap_or_else(|| "-".to_owned());
            vec![shown.group.into(), shown.key.into(), value, shown.default.into(), shown.about.into()]
        })
        .collect();
    table(&["group", "setting", "set to", "default", "what it does"], &rows)
}

fn one(shown: &Shown) -> String {
    let value = shown.value.clone().unwrap_or_else(|| format!("not set (default {})", shown.default));
    format!("{} = {value}\n  {}\n  allowed: {}", shown.key, shown.about, shown.allowed)
}
