//! The console's pages.

use std::sync::Arc;

use chrono::TimeDelta;
use mutt_core::{
    db::{self, event_audit},
    domain::{
        audit::EventAudit,
        clock::{Clock as _, SystemClock},
        event::EventId,
    },
};
use mutt_test_support::{PostgresServer, RedisServer, eventually};
use redis::AsyncCommands as _;

use crate::harness::{KEY, PATIENCE, WebUi, event, pool};

#[tokio::test]
async fn who_is_not_logged_in_finds_the_way_in_and_nothing_else() {
    let ui = WebUi::start().await;
    let home = ui.get("/").send().await.unwrap();
    assert_eq!(
        (home.status().as_u16(), home.headers()["location"].to_str().unwrap()),
        (303, "/login?next=/")
    );
    let login = ui.get("/login").send().await.unwrap();
    let policy = login.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(login.headers()["x-content-type-options"], "nosniff");
    assert_eq!(login.headers()["cache-control"], "no-store");
    let html = login.text().await.unwrap();
    assert!(html.contains("<form method=\"post\" action=\"/login\">"), "{html}");
    assert!(!html.contains("<script") && !html.contains("style="), "{html}");
    let nowhere = ui.get("/no/such/page").send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
    assert!(nowhere.text().await.unwrap().contains("There is no page at this address"));

    let css = ui.get("/static/app.css").send().await.unwrap();
    assert_eq!(css.headers()["content-type"], "text/css");
    let tag = css.headers()["etag"].clone();
    assert!(css.text().await.unwrap().contains("prefers-color-scheme"));
    let again = ui.get("/static/app.css").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    for path in ["/static/none.css", "/static/../Cargo.toml", "/static/%2e%2e/Cargo.toml"] {
        assert_eq!(ui.get(path).send().await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_first_page_shows_queues_ledger_and_the_last_events() {
    let ui = WebUi::start().await;
    let cookie = ui.log_in(KEY).await;
    let empty = ui.page("/", &cookie).await;
    assert!(
        empty.contains("All clear") && empty.contains("No events yet") && empty.contains("balanced"),
        "{empty}"
    );
    assert!(empty.contains("http-equiv=\"refresh\""));
    assert!(!ui.page("/?paused=true", &cookie).await.contains("http-equiv=\"refresh\""));

    let now = SystemClock.now() - TimeDelta::seconds(1);
    let id = EventId::new(now);
    let raw = format!(
        r#"{{"_id":"{id}","_received_at":"{}","hostname":"<b>sw1</b>","message":"<script>alert(1)</script> & down","timestamp":"{}","syslog_severity":2}}"#,
        now.to_rfc3339(),
        now.to_rfc3339()
    );
    let shown = EventAudit { hostname: "<b>sw1</b>", raw_message: &raw, ..event(id, now) };
    event_audit::insert_batch(&ui.pool, &[shown]).await.unwrap();
    let mut conn = ui.redis.connection().await;
    let _: () = conn.lpush("mutt:dlq:moog", r#"{"_id":"x"}"#).await.unwrap();
    let page = eventually("the dead letter is seen", PATIENCE, async || {
        let page = ui.page("/", &cookie).await;
        if page.contains("need a look") { Ok(page) } else { Err(page) }
    })
    .await;
    assert!(!page.contains("<script") && !page.contains("<b>sw1"), "{page}");
    assert!(
        page.contains("alert(1)") && page.contains("critical") && page.contains("Page_and_ticket"),
        "{page}"
    );
    assert!(page.contains("Dead letters of the forwarder: 1 wait."), "{page}");
    assert!(page.contains("session:default · admin"));
    // An entry that no script of ours pushed is not in the books until it is claimed.
    assert!(page.contains("out of balance"), "{page}");
}

#[tokio::test]
async fn without_the_database_the_page_still_shows_the_queues() {
    let mut postgres = PostgresServer::start().await;
    let pool = pool(&postgres.database().await).await;
    db::migrate(&pool).await.unwrap();
    let ui = WebUi::start_on(pool, Arc::new(RedisServer::start().await), &[]).await;
    let cookie = ui.log_in(KEY).await;
    postgres.kill();
    let page = ui.page("/", &cookie).await;
    assert!(page.contains("PostgreSQL does not answer") && page.contains("mutt:ingest_queue"), "{page}");
    assert!(!page.contains("All clear"));
}
