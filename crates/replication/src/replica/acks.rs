//! What a replica tells its primary of how far it is: what it has carried out, and what of that is on its disk.
//!
//! It says so once a second, and whenever the primary asks, who does if a client waits for it. What is asked for may not be on the disk yet.
//! Then it is said once more when it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often the primary is told without being asked.
const EVERY: Duration = Duration::from_secs(1);

/// Places in the log that are remembered at most.
const MOST: usize = 1 << 16;

/// See the module's page.
pub(super) struct Acks {
    sent: Instant,
    /// Pieces of the journal that may not be on the disk yet, and the offsets up to which all changes are in them or before.
    written: VecDeque<(u64, u64)>,
    /// The offset up to which all is on the disk.
    durable: u64,
    /// The primary waits until all up to here is on the disk.
    awaited: Option<u64>,
}

impl Acks {
    /// Nothing is known of what is on the disk.
    pub fn new(now: Instant) -> Acks {
        Acks {
            sent: now,
            written: VecDeque::new(),
            durable: 0,
            awaited: None,
        }
    }

    /// All up to this offset is in pieces of the journal up to this one.
    pub fn note(&mut self, piece: u64, offset: u64) {
        match self.written.back_mut() {
            Some((last, upto)) if *last == piece => *upto = offset,
            _ => self.written.push_back((piece, offset)),
        }
        // They are looked at once a second, by which there are not many; without a log they are not needed.
        if self.written.len() > MOST {
            self.written.drain(..MOST / 2);
        }
    }

    /// The primary waits until all up to here is on the disk.
    pub fn asked(&mut self, offset: u64) {
        self.awaited = Some(offset);
    }

    /// What is not on the disk up to here will not be.
    pub fn give_up(&mut self, upto: u64) {
        self.awaited = self.awaited.filter(|offset| *offset > upto);
    }

    /// Whether it does.
    pub fn are_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether it is time to say something: `is_on_disk` says it of a piece.
    pub fn are_due(&mut self, now: Instant, is_on_disk: impl Fn(u64) -> bool) -> bool {
        if now.duration_since(self.sent) >= EVERY {
            return true;
        }
        let Some(awaited) = self.awaited else {
            return false;
        };
        self.look(is_on_disk);
        self.durable >= awaited
    }

    /// What to say of this offset, up to which all is carried out. `is_on_disk`: as above; None: there is no log.
    pub fn say(
        &mut self,
        offset: u64,
        now: Instant,
        is_on_disk: Option<impl Fn(u64) -> bool>,
    ) -> Vec<String> {
        self.sent = now;
        let mut words = ["REPLCONF", "ACK", &offset.to_string()]
            .map(str::to_owned)
            .to_vec();
        let Some(is_on_disk) = is_on_disk else {
            self.written.clear();
            self.awaited = None;
            return words;
        };
        self.look(is_on_disk);
        if self.awaited.is_some_and(|awaited| self.durable >= awaited) {
            self.awaited = None;
        }
        words.extend(["FACK".to_owned(), self.durable.to_string()]);
        words
    }

    /// Finds out what is on the disk by now.
    fn look(&mut self, is_on_disk: impl Fn(u64) -> bool) {
        while let Some((piece, upto)) = self.written.front()
            && is_on_disk(*piece)
        {
            self.durable = *upto;
            self.written.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[String]) -> String {
        words.join(" ")
    }

    #[test]
    fn what_is_awaited_is_said_when_it_is_on_the_disk() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let upto = |piece| move |p: u64| p <= piece;
        let mut acks = Acks::new(begin);
        acks.note(1, 100);
        acks.note(2, 150);
        // A sign of life changes nothing.
        acks.note(2, 160);
        acks.asked(160);
        assert_eq!(
            said(&acks.say(160, at(10), Some(upto(1)))),
            "REPLCONF ACK 160 FACK 100"
        );
        assert!(!acks.are_due(at(12), upto(1)));
        acks.note(3, 200);
        assert!(!acks.are_due(at(14), upto(1)) && acks.are_due(at(15), upto(2)));
        assert_eq!(
            said(&acks.say(200, at(15), Some(upto(2)))),
            "REPLCONF ACK 200 FACK 160"
        );
        // What nobody waits for can wait.
        assert!(!acks.are_due(at(20), upto(3)) && !acks.are_due(at(1014), upto(3)));
        assert!(acks.are_due(at(1015), upto(3)));
        assert!(!acks.are_awaited());
        // A log that has failed says nothing for ever.
        acks.note(4, 300);
        acks.asked(300);
        acks.say(300, at(1015), Some(upto(3)));
        acks.note(5, 400);
        acks.give_up(250);
        assert!(acks.are_awaited());
        acks.give_up(300);
        assert!(!acks.are_awaited() && !acks.are_due(at(1020), upto(3)));
    }

    #[test]
    fn without_a_log_nothing_is_awaited() {
        let now = Instant::now();
        let mut acks = Acks::new(now);
        acks.note(1, 100);
        acks.asked(100);
        assert_eq!(
            said(&acks.say(100, now, None::<fn(u64) -> bool>)),
            "REPLCONF ACK 100"
        );
        assert!(!acks.are_awaited());
        assert!(!acks.are_due(now, |_| true));
    }
}
