//! Waits until each service says that it is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::service::Death;
use crate::exit::Exit;

/// Services are ready within a second; a debug build on a busy machine takes a few.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Polls `/health/ready` of each (name, address) until all say 200; returns how long each took, `tell` hears of it.
///
/// # Errors
/// When a service dies for good or is not ready in time.
pub(crate) async fn wait(
    services: &[(&'static str, String)],
    deaths: &mut UnboundedReceiver<Death>,
    tell: impl Fn(&str, Duration),
) -> anyhow::Result<BTreeMap<String, u64>> {
    let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).build()?;
    let began = Instant::now();
    let mut waiting: Vec<&(&'static str, String)> = services.iter().collect();
    let mut last = String::new();
    let mut ready = BTreeMap::new();
    while !waiting.is_empty() {
        let mut still_waiting = Vec::new();
        for service in waiting {
            let (name, address) = service;
            match probe(&client, address).await {
                Ok(()) => {
                    let took = began.elapsed();
                    tell(name, took);
                    ready.insert((*name).to_owned(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                }
                Err(status) => {
                    last = format!("{name}: {status}");
                    still_waiting.push(service);
                }
            }
        }
        waiting = still_waiting;
        while let Ok(death) = deaths.try_recv() {
            if death.is_final {
                bail!(told(&death));
            }
            last = told(&death);
        }
        if began.elapsed() > LIMIT {
            return Err(anyhow!("last seen: {last}")
                .context(Exit::unavailable(format!("not every service was ready within {LIMIT:?}"))));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(ready)
}

/// A death in words, with the end of the log.
pub(crate) fn told(death: &Death) -> String {
    let what = if death.is_final { "ended" } else { "died and is started again" };
    format!("{} {what} ({}); the end of its log:\n{}", death.name, death.how, death.tail)
}

async fn probe(client: &reqwest::Client, address: &str) -> Result<(), String> {
    let answer = client.get(address).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{status} {}", answer.text().await.unwrap_or_default()))
}
