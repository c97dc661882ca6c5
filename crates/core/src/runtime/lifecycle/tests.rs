//! Drain, escalation and the exit code, on paused time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn pending() -> impl Future<Output = anyhow::Result<()>> {
    std::future::pending()
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_in_hand() {
    let lifecycle = Lifecycle::for_tests();
    let draining = lifecycle.draining();
    lifecycle.spawn_critical("worker", async move {
        draining.cancelled().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    lifecycle.drain("test");
    let began = Instant::now();
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(!lifecycle.aborting().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_what_is_unfinished_is_dropped() {
    let lifecycle = Lifecycle::for_tests();
    lifecycle.spawn_critical("stuck", pending());
    lifecycle.drain("test");
    let began = Instant::now();
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert_eq!(began.elapsed(), Duration::from_secs(5) + ABORT_GRACE);
    assert!(lifecycle.aborting().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn an_abort_gives_time_to_hand_back_and_no_more() {
    let lifecycle = Lifecycle::for_tests();
    let aborting = lifecycle.aborting();
    let handed_back = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&handed_back);
    lifecycle.spawn_critical("lane", async move {
        aborting.cancelled().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    lifecycle.abort("second signal");
    assert!(lifecycle.is_draining());
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert_eq!(handed_back.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_ends_early_takes_the_process_down() {
    let lifecycle = Lifecycle::for_tests();
    lifecycle.spawn_critical("worker", async { Ok(()) });
    assert_eq!(lifecycle.wait().await, Exit::Crash);
    assert!(lifecycle.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_panics_takes_the_process_down_and_the_others_finish() {
    let lifecycle = Lifecycle::for_tests();
    let draining = lifecycle.draining();
    let finished = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&finished);
    lifecycle.spawn_critical("other", async move {
        draining.cancelled().await;
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    lifecycle.spawn_critical("worker", async { panic!("for a test") });
    assert_eq!(lifecycle.wait().await, Exit::Crash);
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_draining_still_counts() {
    let lifecycle = Lifecycle::for_tests();
    let draining = lifecycle.draining();
    lifecycle.spawn_critical("worker", async move {
        draining.cancelled().await;
        anyhow::bail!("the last batch was not written")
    });
    lifecycle.drain("test");
    assert_eq!(lifecycle.wait().await, Exit::Crash);
}

#[tokio::test(start_paused = true)]
async fn periodic_work_survives_its_panics_and_ends_with_the_drain() {
    let lifecycle = Lifecycle::for_tests();
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    lifecycle.spawn_periodic("sampler", Duration::from_secs(10), move || {
        let run = count.fetch_add(1, Ordering::SeqCst);
        async move { assert_ne!(run, 1, "for a test") }
    });
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    lifecycle.drain("test");
    assert_eq!(lifecycle.wait().await, Exit::Clean);
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_reload_reaches_everyone_who_asked() {
    let lifecycle = Lifecycle::for_tests();
    let (mut one, mut two) = (lifecycle.on_reload(), lifecycle.on_reload());
    lifecycle.reload();
    lifecycle.reload();
    one.changed().await.unwrap();
    two.changed().await.unwrap();
    assert!(!one.has_changed().unwrap());
}
