//! The rules in force: one immutable snapshot, swapped as a whole.
//!
//! It is read anew when somebody changed it (PostgreSQL tells, within moments of the commit), on SIGHUP, and on a timer in
//! case the word was lost. A reload that fails changes nothing and is tried again soon. What must never happen here: a
//! worker with no rules because the database was away, or one that waits for patterns to compile.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use mutt_core::{
    db::{DbError, RULES_CHANNEL, hosts, rules, teams},
    domain::{
        host::{DevelopmentHosts, Teams},
        rule::Rule,
    },
    rules::{Compiled, RuleProblem, RuleSet},
    telemetry::report,
};
use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::metrics::{Metrics, level};

/// The first and the longest wait before a failed reload is tried again.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Changes that come in a row, an import for instance, are read together after this.
const GATHER: Duration = Duration::from_millis(50);

/// What decides events; never changes.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The active rules, compiled.
    pub rules: RuleSet,
    /// Hosts whose events are handled as development.
    pub development_hosts: DevelopmentHosts,
    /// Who is told of unhandled messages of a host.
    pub teams: Teams,
}

impl Snapshot {
    /// Whether the other has the same versions of the same rules, and as many hosts and teams: enough to spare people a
    /// log line at each reading.
    fn is_like(&self, other: &Self) -> bool {
        let versions = |snapshot: &Self| -> Vec<_> {
            snapshot.rules.rules().map(|rule| (rule.id, rule.version)).collect()
        };
        self.development_hosts.len() == other.development_hosts.len()
            && self.teams.len() == other.teams.len()
            && versions(self) == versions(other)
    }
}

/// Rules, hosts and teams as PostgreSQL has them.
#[derive(Debug)]
struct Tables {
    rules: Vec<Rule>,
    development_hosts: DevelopmentHosts,
    teams: Teams,
}

/// Why the rules could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// They could not be read.
    #[error(transparent)]
    Read(#[from] DbError),
    /// Compiling them panicked.
    #[error("the rules cannot be compiled")]
    Compile(#[from] tokio::task::JoinError),
}

/// The snapshot in force, and what replaces it.
#[derive(Debug)]
pub struct Rules {
    current: ArcSwap<Snapshot>,
    pool: PgPool,
    metrics: Arc<Metrics>,
    /// What was wrong with the rules at the last load; told once, not at every reload.
    problems: std::sync::Mutex<Vec<RuleProblem>>,
}

impl Rules {
    /// Loads the first snapshot, waiting for PostgreSQL as long as it takes; `None` when asked to stop before.
    pub async fn load(pool: PgPool, metrics: Arc<Metrics>, drain: &CancellationToken) -> Option<Self> {
        let rules =
            Self { current: ArcSwap::default(), pool, metrics, problems: std::sync::Mutex::default() };
        let mut longest = RETRY_WAITS.0;
        while let Err(error) = rules.reload().await {
            warn!(error = report(&error), "rules cannot be read; no event is taken before they are");
            tokio::select! {
                () = tokio::time::sleep(longest) => {}
                () = drain.cancelled() => return None,
            }
            longest = (longest * 2).min(RETRY_WAITS.1);
        }
        if rules.snapshot().rules.is_empty() {
            warn!("there is no active rule: every event will be unhandled");
        }
        Some(rules)
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Reads and compiles everything and puts it in force; workers go on with the old snapshot meanwhile.
    ///
    /// # Errors
    /// [`ReloadError`]; the old snapshot stays, and the failure is counted.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let reloaded = self.try_reload().await;
        if reloaded.is_err() {
            self.metrics.reload_failures.inc();
        }
        reloaded
    }

    async fn try_reload(&self) -> Result<(), ReloadError> {
        let started = Instant::now();
        let tables = self.read().await?;
        let old = self.snapshot();
        // Thousands of patterns take a second to compile: not on a thread that serves batches.
        let compiled = tokio::task::spawn_blocking(move || {
            let Compiled { set, problems } = old.rules.recompile(tables.rules);
            let snapshot =
                Snapshot { rules: set, development_hosts: tables.development_hosts, teams: tables.teams };
            (snapshot, problems)
        });
        let (snapshot, problems) = compiled.await?;
        self.put_in_force(snapshot, problems, started.elapsed());
        Ok(())
    }

    async fn read(&self) -> Result<Tables, DbError> {
        let rules = rules::list_active(&self.pool).await?;
        let hosts = hosts::list(&self.pool).await?;
        let teams = teams::list(&self.pool).await?;
        Ok(Tables {
            rules,
            development_hosts: hosts.into_iter().map(|host| host.hostname).collect(),
            teams: teams.into_iter().map(|team| (team.hostname, team.team_assignment)).collect(),
        })
    }

    fn put_in_force(&self, snapshot: Snapshot, problems: Vec<RuleProblem>, took: Duration) {
        let left_out = problems.iter().filter(|problem| problem.left_out).count();
        self.metrics.rules.set(level(snapshot.rules.len()));
        self.metrics.rules_left_out.set(level(left_out));
        self.metrics.development_hosts.set(level(snapshot.development_hosts.len()));
        self.metrics.teams.set(level(snapshot.teams.len()));
        self.metrics.reload_latency.observe(took.as_secs_f64());
        let snapshot = Arc::new(snapshot);
        let old = self.current.swap(Arc::clone(&snapshot));
        let (rules, development_hosts, teams) =
            (snapshot.rules.len(), snapshot.development_hosts.len(), snapshot.teams.len());
        if old.is_like(&snapshot) {
            debug!(rules, development_hosts, teams, ?took, "rules in force are up to date");
        } else {
            let run_on_every_event = snapshot.rules.patterns_without_text();
            info!(rules, development_hosts, teams, left_out, run_on_every_event, ?took, "rules in force");
        }
        self.metrics.pattern_step_limit.inc_by(old.rules.take_step_limit_hits());
        self.tell(problems);
    }

    /// Warns of problems that the last load did not have.
    fn tell(&self, problems: Vec<RuleProblem>) {
        let mut known = self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            warn!(
                rule.id = problem.rule_id,
                left_out = problem.left_out,
                problem = problem.problem,
                "a rule needs repair"
            );
        }
        *known = problems;
    }

    /// Keeps the snapshot fresh until `drain`. `interval` is asked each time, as it is a live setting; `reload` changes when a
    /// person asks for a reload.
    pub async fn keep_fresh(
        &self,
        interval: impl Fn() -> Duration,
        mut reload: watch::Receiver<u64>,
        drain: &CancellationToken,
    ) {
        let mut changes = Changes { pool: self.pool.clone(), listener: None };
        let mut retry: Option<Duration> = None;
        loop {
            let wait = retry.unwrap_or_else(&interval);
            let why = tokio::select! {
                () = drain.cancelled() => return,
                why = changes.next() => why,
                Ok(()) = reload.changed() => "asked for",
                () = tokio::time::sleep(wait) => if retry.is_some() { "trying again" } else { "timer" },
            };
            tokio::time::sleep(GATHER).await;
            changes.forget_gathered();
            debug!(why, "reading rules");
            retry = match self.reload().await {
                Ok(()) => None,
                Err(error) => {
                    warn!(error = report(&error), "rules cannot be read; the old ones stay in force");
                    let longest = retry.map_or(RETRY_WAITS.0, |wait| (wait * 2).min(RETRY_WAITS.1));
                    Some(longest)
                }
            };
        }
    }
}

/// The word from PostgreSQL that something changed.
struct Changes {
    pool: PgPool,
    listener: Option<PgListener>,
}

impl Changes {
    /// Waits for a change, or for the connection to come (back): what was said meanwhile is lost, so that counts as one.
    /// Cancel safe: a word that came is kept by the listener until it is taken.
    async fn next(&mut self) -> &'static str {
        loop {
            match &mut self.listener {
                None => match self.listen().await {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        return "listening";
                    }
                    Err(error) => {
                        debug!(error = report(&error), "cannot listen for changes; the timer still works");
                        tokio::time::sleep(RETRY_WAITS.1 / 10).await;
                    }
                },
                Some(listener) => match listener.try_recv().await {
                    Ok(Some(_)) => return "changed",
                    Ok(None) | Err(_) => self.listener = None,
                },
            }
        }
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(RULES_CHANNEL).await?;
        Ok(listener)
    }

    fn forget_gathered(&mut self) {
        if let Some(listener) = &mut self.listener {
            while listener.next_buffered().is_some() {}
        }
    }
}
