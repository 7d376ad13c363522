//! The strategies: one map from keys to values, shared by many tasks in six ways.
//!
//! All of them hash with the standard library's hasher and hand out values by reference count, so that they differ
//! in how they share and in nothing else.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// A stored value. Reading one counts a reference; the bytes are not copied.
pub type Value = Arc<[u8]>;

/// A map shared by many tasks.
///
/// The calls are asynchronous because two of the strategies wait; the others return at once, and the compiler turns
/// them into plain calls.
pub trait Strategy: Send + Sync + 'static {
    /// Name in the table, the plot and the file.
    const NAME: &'static str;
    /// A map that holds `entries`. Called inside the runtime that will run the tasks.
    fn new(entries: Vec<(String, Value)>) -> Self;
    /// The value of `key`.
    fn get(&self, key: &str) -> impl Future<Output = Option<Value>> + Send;
    /// Sets `key` to `value`.
    fn set(&self, key: &str, value: Value) -> impl Future<Output = ()> + Send;
}

/// Puts `value` in the map, copying the key only when it is new.
fn put(map: &mut HashMap<String, Value>, key: &str, value: Value) {
    match map.get_mut(key) {
        Some(slot) => *slot = value,
        None => {
            map.insert(key.to_string(), value);
        }
    }
}

/// One `std::sync::Mutex` around one map: how the chapter begins.
pub struct StdMutex(std::sync::Mutex<HashMap<String, Value>>);

impl StdMutex {
    /// The map. No call made under the lock can panic halfway through a change, so a poisoned one is whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Value>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Strategy for StdMutex {
    const NAME: &'static str = "std mutex";

    fn new(entries: Vec<(String, Value)>) -> StdMutex {
        StdMutex(std::sync::Mutex::new(entries.into_iter().collect()))
    }

    async fn get(&self, key: &str) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    async fn set(&self, key: &str, value: Value) {
        put(&mut self.lock(), key, value);
    }
}

/// One `parking_lot::Mutex` around one map.
pub struct ParkingLotMutex(parking_lot::Mutex<HashMap<String, Value>>);

impl Strategy for ParkingLotMutex {
    const NAME: &'static str = "parking_lot mutex";

    fn new(entries: Vec<(String, Value)>) -> ParkingLotMutex {
        ParkingLotMutex(parking_lot::Mutex::new(entries.into_iter().collect()))
    }

    async fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().get(key).cloned()
    }

    async fn set(&self, key: &str, value: Value) {
        put(&mut self.0.lock(), key, value);
    }
}

/// Shards of the sharded mutex, as many as Redpoll's keyspace has by default.
const SHARDS: usize = 256;

/// Many mutexes, each around its part of the keys: what Redpoll does.
pub struct ShardedMutex {
    hasher: RandomState,
    shards: Vec<Shard>,
}

/// Padded to two cache lines (processors fetch them in pairs), so that locking one shard does not disturb another.
#[repr(align(128))]
#[derive(Default)]
struct Shard(parking_lot::Mutex<HashMap<String, Value>>);

impl ShardedMutex {
    /// The shard of `key`: the hash's top bits. The map inside hashes again with its own keys.
    fn shard(&self, key: &str) -> &parking_lot::Mutex<HashMap<String, Value>> {
        let top_bits = self.hasher.hash_one(key) >> (64 - SHARDS.ilog2());
        &self.shards[top_bits as usize].0
    }
}

impl Strategy for ShardedMutex {
    const NAME: &'static str = "sharded mutex";

    fn new(entries: Vec<(String, Value)>) -> ShardedMutex {
        let sharded = ShardedMutex {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        };
        for (key, value) in entries {
            sharded.shard(&key).lock().insert(key, value);
        }
        sharded
    }

    async fn get(&self, key: &str) -> Option<Value> {
        self.shard(key).lock().get(key).cloned()
    }

    async fn set(&self, key: &str, value: Value) {
        put(&mut self.shard(key).lock(), key, value);
    }
}

/// One `tokio::sync::Mutex` around one map: a task that waits for it gives its thread to other tasks.
pub struct TokioMutex(tokio::sync::Mutex<HashMap<String, Value>>);

impl Strategy for TokioMutex {
    const NAME: &'static str = "tokio mutex";

    fn new(entries: Vec<(String, Value)>) -> TokioMutex {
        TokioMutex(tokio::sync::Mutex::new(entries.into_iter().collect()))
    }

    async fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().await.get(key).cloned()
    }

    async fn set(&self, key: &str, value: Value) {
        put(&mut *self.0.lock().await, key, value);
    }
}

/// A task owns the map; everyone else sends it messages and waits for the answers.
pub struct OwningTask(mpsc::Sender<Message>);

/// Messages that may wait for the owner.
const MAILBOX: usize = 1024;

enum Message {
    Get {
        key: String,
        answer: oneshot::Sender<Option<Value>>,
    },
    Set {
        key: String,
        value: Value,
        answer: oneshot::Sender<()>,
    },
}

impl Strategy for OwningTask {
    const NAME: &'static str = "owning task";

    fn new(entries: Vec<(String, Value)>) -> OwningTask {
        let mut map: HashMap<String, Value> = entries.into_iter().collect();
        let (sender, mut mailbox) = mpsc::channel(MAILBOX);
        tokio::spawn(async move {
            while let Some(message) = mailbox.recv().await {
                // An answer nobody waits for any more is no error.
                match message {
                    Message::Get { key, answer } => {
                        let _ = answer.send(map.get(&key).cloned());
                    }
                    Message::Set { key, value, answer } => {
                        map.insert(key, value);
                        let _ = answer.send(());
                    }
                }
            }
        });
        OwningTask(sender)
    }

    async fn get(&self, key: &str) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        let key = key.to_string();
        self.0.send(Message::Get { key, answer }).await.ok()?;
        answered.await.ok()?
    }

    async fn set(&self, key: &str, value: Value) {
        let (answer, answered) = oneshot::channel();
        let key = key.to_string();
        let message = Message::Set { key, value, answer };
        if self.0.send(message).await.is_ok() {
            // The owner ends only after the last sender, which is this one.
            let _ = answered.await;
        }
    }
}

/// A hash map whose readers take no lock and whose writers publish new entries with atomic instructions.
pub struct LockFreeReads(papaya::HashMap<String, Value>);

impl Strategy for LockFreeReads {
    const NAME: &'static str = "lock-free reads";

    fn new(entries: Vec<(String, Value)>) -> LockFreeReads {
        LockFreeReads(entries.into_iter().collect())
    }

    async fn get(&self, key: &str) -> Option<Value> {
        self.0.pin().get(key).cloned()
    }

    async fn set(&self, key: &str, value: Value) {
        self.0.pin().insert(key.to_string(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several tasks write and read their own keys and one common key through `S`.
    fn shares<S: Strategy>() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let value = |text: String| Value::from(text.into_bytes());
            let map = Arc::new(S::new(vec![("old".to_string(), value("1".to_string()))]));
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let map = Arc::clone(&map);
                    tokio::spawn(async move {
                        for i in 0..500 {
                            let key = format!("{task}:{}", i % 50);
                            map.set(&key, value(format!("{key}={i}"))).await;
                            map.set("common", value(format!("{task}"))).await;
                            let got = map.get(&key).await;
                            assert_eq!(got, Some(value(format!("{key}={i}"))), "{}", S::NAME);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no task fails");
            }
            assert_eq!(map.get("old").await, Some(value("1".to_string())));
            assert_eq!(map.get("none").await, None);
            assert_eq!(
                map.get("3:49").await,
                Some(value("3:49=499".to_string())),
                "{}",
                S::NAME
            );
            let common = map.get("common").await.expect("a common key");
            assert!((b"0"[0]..=b"3"[0]).contains(&common[0]));
        });
    }

    #[test]
    fn every_strategy_is_a_shared_map() {
        shares::<StdMutex>();
        shares::<ParkingLotMutex>();
        shares::<ShardedMutex>();
        shares::<TokioMutex>();
        shares::<OwningTask>();
        shares::<LockFreeReads>();
    }
}
