use mutt_core::domain::clock::SystemClock;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::{
    metrics::Metrics,
    sources::AllowedSources,
    syslog::buffer::{self, Taken},
};

const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

struct Rig {
    sender: DuplexStream,
    taken: Taken,
    draining: CancellationToken,
    served: tokio::task::JoinHandle<io::Result<End>>,
}

impl Rig {
    /// A connection with room for `room` bytes of events behind it.
    fn new(room: usize) -> Self {
        let metrics = Arc::new(Metrics::for_tests());
        let intake = Intake::new(1024, AllowedSources::default(), Arc::new(SystemClock), metrics);
        let (buffer, taken) = buffer::channel(room);
        let (sender, mut receiver) = duplex(4096);
        let mut connection = Connection {
            framer: Framer::new(intake.max_bytes()),
            peer: Peer::new([192, 0, 2, 7].into()),
            intake,
            buffer,
            frame_timeout: FRAME_TIMEOUT,
            received: Vec::new(),
            _place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        };
        let draining = CancellationToken::new();
        let stop = draining.clone();
        #[expect(clippy::disallowed_methods, reason = "a test waits for this task itself")]
        let served = tokio::spawn(async move { connection.run(&mut receiver, &stop).await });
        Self { sender, taken, draining, served }
    }

    async fn end(self) -> (End, Vec<serde_json::Value>) {
        let end = self.served.await.unwrap().unwrap();
        let events = self.taken.events().await;
        (end, events.iter().map(|event| serde_json::from_slice(event).unwrap()).collect())
    }
}

fn messages(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn both_framings_arrive_and_the_last_line_needs_no_end() {
    let mut rig = Rig::new(1 << 20);
    rig.sender.write_all(b"<13>one\n8 <13>four<13>two\r\n").await.unwrap();
    rig.sender.write_all(b"<13>th").await.unwrap();
    rig.sender.write_all(b"ree").await.unwrap();
    rig.sender.shutdown().await.unwrap();
    let (end, events) = rig.end().await;
    assert_eq!(end, End::Closed);
    assert_eq!(messages(&events), ["one", "four", "two", "three"]);
    assert_eq!(events[3].get("_reason"), None);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_never_finishes_its_message_is_cut_off() {
    let mut rig = Rig::new(1 << 20);
    rig.sender.write_all(b"<13>whole\n50 <13>slow").await.unwrap();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(9)).await;
        // One byte now and then buys no more time.
        drop(rig.sender.write_all(b"w").await);
    }
    let (end, events) = rig.end().await;
    assert_eq!(end, End::TooSlow);
    assert_eq!(events[0]["message"], "whole");
    assert_eq!(events[1]["_reason"], "the sender stopped in the middle of the message");
    assert_eq!(events[1]["_flags"][0], "message_cut");
}

#[tokio::test(start_paused = true)]
async fn silence_between_messages_is_no_fault() {
    let mut rig = Rig::new(1 << 20);
    rig.sender.write_all(b"<13>before\n").await.unwrap();
    tokio::time::sleep(FRAME_TIMEOUT * 100).await;
    rig.sender.write_all(b"<13>after\n").await.unwrap();
    rig.sender.shutdown().await.unwrap();
    let (end, events) = rig.end().await;
    assert_eq!((end, messages(&events)), (End::Closed, vec!["before", "after"]));
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_stops_the_reading() {
    let mut rig = Rig::new(16 << 10);
    let line = format!("<13>{}\n", "x".repeat(500));
    let mut written = 0;
    let flood = async {
        for _ in 0..1000 {
            rig.sender.write_all(line.as_bytes()).await.unwrap();
            written += line.len();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), flood).await.is_err(),
        "the sender must have to wait"
    );
    assert!(written < 100 << 10, "{written} bytes were taken");
    rig.served.abort();
}

#[tokio::test]
async fn a_stop_takes_what_has_been_sent() {
    let mut rig = Rig::new(1 << 20);
    rig.sender.write_all(b"<13>one\n<13>two\n<13>half").await.unwrap();
    rig.draining.cancel();
    drop(rig.sender);
    let end = rig.served.await.unwrap().unwrap();
    assert_eq!(end, End::Draining);
    let events: Vec<serde_json::Value> =
        rig.taken.events().await.iter().map(|event| serde_json::from_slice(event).unwrap()).collect();
    assert_eq!(messages(&events), ["one", "two", "half"]);
    assert_eq!(events[2]["_flags"][0], "message_cut");
}
