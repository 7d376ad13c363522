//! Something that is done once, by whoever comes first: what decides between serving a client that waits and its giving up.
//!
//! Written over any kind of lock, so that a model checker can drive the very code the server runs.

/// A lock around a value.
pub trait Guarded<T> {
    /// Lets `f` work on the value, alone.
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Guarded<T> for parking_lot::Mutex<T> {
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock())
    }
}

/// What is still to be done, until somebody has done it. `M`: a lock around an `Option` of it.
#[derive(Debug)]
pub struct Pending<M>(M);

impl<M> Pending<M> {
    /// Wraps the lock around what is to be done.
    pub fn new(lock: M) -> Pending<M> {
        Pending(lock)
    }

    /// Lets `attempt` try, unless it is done. If that returns something, it is done from now on. Whoever comes meanwhile
    /// waits for the outcome; whoever comes later gets None, and can see all that the one who did it has written.
    pub fn settle<T, R>(&self, attempt: impl FnOnce(&mut T) -> Option<R>) -> Option<R>
    where
        M: Guarded<Option<T>>,
    {
        let (result, done) = self.0.with(|pending| {
            let result = attempt(pending.as_mut()?);
            let done = result.as_ref().and_then(|_| pending.take());
            Some((result, done))
        })?;
        // What it held on to is dropped without the lock.
        drop(done);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shuttle::sync::{Arc, Mutex};
    use shuttle::thread;
    use std::collections::VecDeque;

    impl<T> Guarded<T> for Mutex<T> {
        fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.lock().unwrap())
        }
    }

    /// Number of keys that are waited for.
    const KEYS: usize = 2;

    /// A client that waits.
    struct Waiter {
        rest: Pending<Mutex<Option<()>>>,
        /// Some(None): it has given up.
        reply: Mutex<Option<Option<u32>>>,
    }

    /// A key: its elements, and who waits for it.
    #[derive(Default)]
    struct Key {
        elements: VecDeque<u32>,
        waiting: Mutex<Vec<Arc<Waiter>>>,
    }

    /// Keys with their shards' locks.
    type World = [Mutex<Key>; KEYS];

    fn forget(key: &Key, waiter: &Arc<Waiter>) {
        key.waiting
            .lock()
            .unwrap()
            .retain(|w| !Arc::ptr_eq(w, waiter));
    }

    /// BLPOP of one key.
    fn wait(world: &World, at: usize) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            rest: Pending::new(Mutex::new(Some(()))),
            reply: Mutex::new(None),
        });
        let mut key = world[at].lock().unwrap();
        match key.elements.pop_front() {
            Some(element) => *waiter.reply.lock().unwrap() = Some(Some(element)),
            None => key.waiting.lock().unwrap().push(waiter.clone()),
        }
        waiter
    }

    /// RPUSH.
    fn push(world: &World, at: usize, element: u32) {
        let mut key = world[at].lock().unwrap();
        key.elements.push_back(element);
        let waiting = key.waiting.lock().unwrap().clone();
        for waiter in waiting {
            let served = waiter.rest.settle(|()| {
                let element = key.elements.pop_front()?;
                thread::yield_now();
                *waiter.reply.lock().unwrap() = Some(Some(element));
                Some(())
            });
            if served.is_some() {
                forget(&key, &waiter);
            }
        }
    }

    /// A timeout, without the shard's lock.
    fn give_up(waiter: &Waiter) -> bool {
        let given_up = waiter.rest.settle(|()| {
            *waiter.reply.lock().unwrap() = Some(None);
            Some(())
        });
        given_up.is_some()
    }

    /// Clients that wait and give up while others push: under any schedule every element is handed out once or still there,
    /// nobody waits beside an element, and whoever gives up in vain has a reply.
    #[test]
    fn any_schedule_hands_each_element_to_one() {
        shuttle::check_random(
            || {
                let world: Arc<World> = Arc::default();
                let mut waiting = Vec::new();
                for (at, gives_up) in [(0, false), (0, true), (1, true), (0, true)] {
                    let world = world.clone();
                    waiting.push(thread::spawn(move || {
                        let waiter = wait(&world, at);
                        if gives_up && waiter.reply.lock().unwrap().is_none() {
                            let given_up = give_up(&waiter);
                            let reply = *waiter.reply.lock().unwrap();
                            assert!(!given_up || reply == Some(None), "it is its own reply");
                            assert!(reply.is_some(), "the reply is there");
                        }
                        (at, waiter)
                    }));
                }
                let pushing = [(0, 0), (1, 1), (0, 2)].map(|(at, element)| {
                    let world = world.clone();
                    thread::spawn(move || push(&world, at, element))
                });
                for thread in pushing {
                    thread.join().unwrap();
                }
                let mut seen = Vec::new();
                for thread in waiting {
                    let (at, waiter) = thread.join().unwrap();
                    let left = !world[at].lock().unwrap().elements.is_empty();
                    match *waiter.reply.lock().unwrap() {
                        Some(Some(element)) => seen.push(element),
                        Some(None) => {}
                        None => assert!(!left, "somebody waits beside an element"),
                    }
                }
                for key in &*world {
                    seen.extend(&key.lock().unwrap().elements);
                }
                seen.sort_unstable();
                assert_eq!(seen, [0, 1, 2]);
            },
            2000,
        );
    }
}
