//! Lists of those who wait, a call at a time.

use super::wait_list::{InLine, WaitList};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

/// Notes in which place it was called.
struct Bell(Arc<AtomicUsize>, AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let place = self.0.fetch_add(1, Relaxed) + 1;
        self.1.store(place, Relaxed);
    }
}

#[test]
fn those_who_wait_are_called_in_order_and_once() {
    let (list, order) = (Arc::new(WaitList::default()), Arc::default());
    let bell = || Arc::new(Bell(Arc::clone(&order), AtomicUsize::new(0)));
    let (first, second, third) = (bell(), bell(), bell());
    let [a, b, c] = [(); 3].map(|()| InLine::last(&list));
    let seen = list.seen();
    // The order is that of their places, not of their waiting.
    assert!(b.wait(seen, 7, &second.clone().into()));
    assert!(a.wait(seen, 7, &first.clone().into()));
    assert!(c.wait(seen, 9, &third.clone().into()));
    list.call_those(|topic| topic == 7);
    let places = |bells: [&Arc<Bell>; 3]| bells.map(|bell| bell.1.load(Relaxed));
    assert_eq!(places([&first, &second, &third]), [1, 2, 0]);
    assert!(a.is_called() && b.is_called() && !c.is_called());
    // What was seen is old by now.
    assert!(!a.wait(seen, 7, &first.clone().into()));
    let seen = list.seen();
    assert!(b.wait(seen, 7, &second.clone().into()));
    assert!(a.wait(seen, 7, &first.clone().into()));
    // Who leaves is not called.
    drop(b);
    list.call();
    assert_eq!(places([&first, &second, &third]), [3, 2, 4]);
    list.call();
    assert_eq!(order.load(Relaxed), 4);
    drop((a, c));
    assert_eq!(list.waiting(), 0);
}
