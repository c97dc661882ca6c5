//! Rules, hosts and teams: nobody overwrites somebody else's change, and no change goes unwritten.

use futures_util::future::join_all;
use mutt_core::{
    db::{self, Change, Creation, config_audit, hosts, rules, seed, teams},
    domain::{
        audit::{Author, Operation},
        rule::Rule,
    },
    rules::{RuleDraft, ValidRule},
};
use sqlx::{PgPool, postgres::PgListener};

use super::{PATIENCE, count, database};

const ANA: Author<'static> =
    Author { name: "ana", reason: Some("INC-412"), correlation_id: Some("request-9") };

fn draft(text: &str) -> RuleDraft {
    RuleDraft {
        match_string: Some(text.into()),
        prod_handling: "page_and_ticket".into(),
        dev_handling: "ignore".into(),
        team_assignment: "NetOps".into(),
        ..RuleDraft::default()
    }
}

fn valid(text: &str) -> ValidRule {
    draft(text).validate().unwrap()
}

async fn audit(pool: &PgPool) -> Vec<config_audit::Recorded> {
    config_audit::page(pool, &config_audit::Filter::default(), None, 0, 100).await.unwrap()
}

async fn new_rule(pool: &PgPool, text: &str) -> Rule {
    rules::create(pool, &valid(text), ANA).await.unwrap()
}

#[tokio::test]
async fn a_rule_lives_from_creation_to_retirement_with_each_step_audited() {
    let pool = database().await;
    let made = new_rule(&pool, "LINK-DOWN").await;
    assert_eq!((made.version, made.created_by.as_deref()), (1, Some("ana")));
    assert!(made.created_at.is_some() && made.is_active);

    let same = rules::update(&pool, made.id, Some(1), &valid("LINK-DOWN"), ANA).await.unwrap();
    assert_eq!(same, Change::Done(made.clone()), "nothing changed, nothing to write");
    let bo = Author { name: "bo", reason: None, correlation_id: None };
    let Change::Done(changed) = rules::update(&pool, made.id, Some(1), &valid("LINK-UP"), bo).await.unwrap()
    else {
        panic!("the version was right")
    };
    assert_eq!((changed.version, changed.match_string.as_deref()), (2, Some("LINK-UP")));
    assert_eq!((changed.created_by.as_deref(), changed.updated_by.as_deref()), (Some("ana"), Some("bo")));
    let late = rules::update(&pool, made.id, Some(1), &valid("mine"), ANA).await.unwrap();
    assert_eq!(late, Change::Conflict(changed.clone()));

    assert_eq!(rules::delete(&pool, made.id, Some(1), ANA).await.unwrap(), Change::Conflict(changed));
    let Change::Done(retired) = rules::delete(&pool, made.id, None, ANA).await.unwrap() else {
        panic!("it is there")
    };
    assert!(retired.archived_at.is_some() && !retired.is_active);
    assert_eq!(rules::delete(&pool, made.id, None, ANA).await.unwrap(), Change::NotFound);
    assert_eq!(rules::update(&pool, made.id, None, &valid("back"), ANA).await.unwrap(), Change::NotFound);
    assert_eq!(rules::list(&pool, rules::Which::Current).await.unwrap(), []);
    assert_eq!(rules::get(&pool, made.id).await.unwrap(), Some(retired), "the audit may name it");

    let written = audit(&pool).await;
    let operations: Vec<_> = written.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, ["DELETE", "UPDATE", "CREATE"]);
    let update = &written[1];
    assert_eq!((update.changed_by.as_str(), update.record_id), ("bo", Some(made.id)));
    let text = |values: &Option<serde_json::Value>| values.as_ref().unwrap()["match_string"].clone();
    assert_eq!((text(&update.old_values), text(&update.new_values)), ("LINK-DOWN".into(), "LINK-UP".into()));
    assert_eq!(written[2].correlation_id.as_deref(), Some("request-9"));
    assert_eq!(written[2].reason.as_deref(), Some("INC-412"));
    assert_eq!((&written[2].old_values, &written[0].new_values), (&None, &None));
}

#[tokio::test]
async fn of_many_who_change_the_same_version_one_wins() {
    let pool = database().await;
    let rule = new_rule(&pool, "x").await;
    let wanted: Vec<_> = (0..6).map(|n| valid(&format!("x{n}"))).collect();
    let outcomes =
        join_all(wanted.iter().map(|wanted| rules::update(&pool, rule.id, Some(1), wanted, ANA))).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Change::Done(_)))).count();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Change::Conflict(_)))).count();
    assert_eq!((won, lost), (1, 5));
    assert_eq!(count(&pool, "config_audit_log").await, 2);
}

#[tokio::test]
async fn active_rules_come_in_the_order_in_which_they_are_preferred() {
    let pool = database().await;
    for (text, priority, is_active) in [("c", 20, true), ("a", 5, true), ("off", 1, false), ("b", 5, true)] {
        let rule = RuleDraft { priority, is_active, ..draft(text) }.validate().unwrap();
        rules::create(&pool, &rule, ANA).await.unwrap();
    }
    let texts = |rules: Vec<Rule>| rules.into_iter().filter_map(|rule| rule.match_string).collect::<Vec<_>>();
    assert_eq!(texts(rules::list_active(&pool).await.unwrap()), ["a", "b", "c"]);
    assert_eq!(texts(rules::list(&pool, rules::Which::Current).await.unwrap()), ["off", "a", "b", "c"]);
}

#[tokio::test]
async fn hosts_and_teams_are_one_per_device_and_audited() {
    let pool = database().await;
    assert!(matches!(hosts::create(&pool, "Lab-SW1", ANA).await.unwrap(), Creation::Done(_)));
    assert_eq!(hosts::create(&pool, "lab-sw1", ANA).await.unwrap(), Creation::Duplicate);
    assert_eq!(hosts::list(&pool).await.unwrap()[0].hostname, "Lab-SW1");
    assert!(hosts::delete(&pool, "LAB-sw1", ANA).await.unwrap());
    assert!(!hosts::delete(&pool, "lab-sw1", ANA).await.unwrap());

    assert!(matches!(teams::create(&pool, "core1", "NetOps", ANA).await.unwrap(), Creation::Done(_)));
    assert_eq!(teams::create(&pool, "CORE1", "Other", ANA).await.unwrap(), Creation::Duplicate);
    let Change::Done(changed) = teams::update(&pool, "Core1", Some(1), "Security", ANA).await.unwrap() else {
        panic!("the version was right")
    };
    assert_eq!((changed.version, changed.team_assignment.as_str()), (2, "Security"));
    assert!(matches!(
        teams::update(&pool, "core1", Some(1), "Late", ANA).await.unwrap(),
        Change::Conflict(_)
    ));
    assert_eq!(teams::update(&pool, "core2", None, "X", ANA).await.unwrap(), Change::NotFound);
    assert!(teams::delete(&pool, "core1", ANA).await.unwrap());
    assert!(!teams::delete(&pool, "core1", ANA).await.unwrap());

    let written = audit(&pool).await;
    let lines: Vec<_> =
        written.iter().map(|entry| format!("{} {}", entry.operation, entry.record_key)).collect();
    assert_eq!(
        lines,
        ["DELETE core1", "UPDATE core1", "CREATE core1", "DELETE Lab-SW1", "CREATE Lab-SW1"],
        "refused changes leave no trace"
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_audited_is_not_made() {
    let pool = database().await;
    let rule = new_rule(&pool, "x").await;
    sqlx::query("alter table config_audit_log rename to away").execute(&pool).await.unwrap();
    rules::create(&pool, &valid("y"), ANA).await.unwrap_err();
    rules::update(&pool, rule.id, None, &valid("z"), ANA).await.unwrap_err();
    rules::delete(&pool, rule.id, None, ANA).await.unwrap_err();
    hosts::create(&pool, "h", ANA).await.unwrap_err();
    teams::create(&pool, "h", "t", ANA).await.unwrap_err();
    assert_eq!(rules::list(&pool, rules::Which::All).await.unwrap(), [rule]);
    assert_eq!(hosts::list(&pool).await.unwrap(), []);
    assert_eq!(teams::list(&pool).await.unwrap(), []);
}

#[tokio::test]
async fn every_change_is_told_at_its_commit_and_not_before() {
    let pool = database().await;
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen(db::RULES_CHANNEL).await.unwrap();
    let told = async |listener: &mut PgListener| {
        tokio::time::timeout(PATIENCE, listener.recv()).await.unwrap().unwrap().payload().to_owned()
    };
    let mut open = pool.begin().await.unwrap();
    sqlx::query("insert into development_hosts (hostname) values ('by hand')")
        .execute(&mut *open)
        .await
        .unwrap();
    new_rule(&pool, "x").await;
    assert_eq!(told(&mut listener).await, "alert_rules", "the open transaction has said nothing yet");
    open.commit().await.unwrap();
    assert_eq!(told(&mut listener).await, "development_hosts");
    teams::create(&pool, "core1", "NetOps", ANA).await.unwrap();
    assert_eq!(told(&mut listener).await, "device_teams");
}

#[tokio::test]
async fn demo_data_is_added_once_and_never_brought_back() {
    let pool = database().await;
    assert_eq!(seed::demo(&pool).await.unwrap(), seed::Seeded { rules: 5, hosts: 3, teams: 4 });
    let first = rules::list_active(&pool).await.unwrap().remove(0);
    rules::delete(&pool, first.id, None, ANA).await.unwrap();
    assert_eq!(seed::demo(&pool).await.unwrap(), seed::Seeded::default());
    assert_eq!(rules::list_active(&pool).await.unwrap().len(), 4);
}

#[tokio::test]
async fn the_change_log_can_be_searched() {
    let pool = database().await;
    let rule = new_rule(&pool, "x").await;
    hosts::create(&pool, "h", Author { name: "Bo", reason: None, correlation_id: None }).await.unwrap();
    let found = async |filter: config_audit::Filter| {
        let rows = config_audit::page(&pool, &filter, None, 0, 10).await.unwrap();
        assert_eq!(
            config_audit::count_up_to(&pool, &filter, 10).await.unwrap(),
            i64::try_from(rows.len()).unwrap()
        );
        rows.into_iter().map(|row| row.record_key).collect::<Vec<_>>()
    };
    let id = rule.id.to_string();
    let none = config_audit::Filter::default;
    assert_eq!(found(none()).await, ["h", id.as_str()]);
    assert_eq!(found(config_audit::Filter { changed_by: Some("bO".into()), ..none() }).await, ["h"]);
    assert_eq!(
        found(config_audit::Filter { changed_by: Some("%".into()), ..none() }).await,
        Vec::<String>::new()
    );
    assert_eq!(found(config_audit::Filter { record_id: Some(rule.id), ..none() }).await, [id.as_str()]);
    assert_eq!(
        found(config_audit::Filter { table_name: Some("alert_rules".into()), ..none() }).await,
        [id.as_str()]
    );
    let deletes = config_audit::Filter { operation: Some(Operation::Delete), ..none() };
    assert_eq!(found(deletes).await, Vec::<String>::new());
    let newest = audit(&pool).await.remove(0);
    let older = config_audit::page(&pool, &none(), Some(newest.id), 0, 10).await.unwrap();
    assert_eq!(older.len(), 1);
}
