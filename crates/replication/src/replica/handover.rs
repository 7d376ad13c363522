//! Handing the role of the primary over (FAILOVER), as the link that does it sees it.
//!
//! The request for the stream asks the other server to be the primary from now on. If that is refused, or cannot be said at all, nothing has
//! changed, and this server goes on to be it. But if the link breaks behind the request, the other one may be the primary already,
//! with changes of its own: then nobody can tell from here, and there would be two. So it is asked again and again, first for the stream
//! alone. A primary gives it, under a new name. A replica that has noticed that its own primary is gone refuses it, one that has not
//! would give it under the old name, and only then is it asked to take over anew.

use super::handshake::{Answer, Failed};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TookOver {
    /// It is the primary.
    Yes,
    /// It is not, and will not be.
    No,
    /// It was asked, and the link broke before it answered. It will be told which of the others is so.
    Unknown,
}

/// Told what came of it: at last Yes or No, and Unknown before, perhaps.
pub type OnHandover = Box<dyn FnMut(TookOver) + Send>;

/// See the module's page.
pub struct Handover {
    told: OnHandover,
    asked: Asked,
}

/// Whether the other server has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Not yet.
    No,
    /// It has, and perhaps it has heard it.
    Unanswered {
        /// It is a replica still, and the next link asks it again.
        again: bool,
        /// It has refused since.
        refused: bool,
    },
}

impl Handover {
    /// One that is about to begin.
    pub fn new(told: OnHandover) -> Handover {
        Handover {
            told,
            asked: Asked::No,
        }
    }

    /// Whether the next request asks it to take over, rather than for the stream alone.
    pub fn asks(&self) -> bool {
        matches!(
            self.asked,
            Asked::No | Asked::Unanswered { again: true, .. }
        )
    }

    /// Takes in what became of a request for the stream of this name; whether it is known now who is the primary.
    pub(crate) fn is_settled_by(&mut self, answer: &Result<Answer, Failed>, id: &str) -> bool {
        let outcome = self.judge(answer, id);
        if let Some(outcome) = outcome {
            (self.told)(outcome);
        }
        matches!(outcome, Some(TookOver::Yes | TookOver::No))
    }

    fn judge(&mut self, answer: &Result<Answer, Failed>, id: &str) -> Option<TookOver> {
        let name = match answer {
            Ok(Answer::Full { id, .. } | Answer::Continue(Some(id))) => Some(id.as_str()),
            _ => None,
        };
        let gives = name.is_some() || matches!(answer, Ok(Answer::Continue(None)));
        if gives && (self.asks() || name != Some(id)) {
            return Some(TookOver::Yes);
        }
        let unanswered = matches!(answer, Err(Failed::Unanswered(_)));
        match &mut self.asked {
            Asked::No if unanswered => {
                self.asked = Asked::Unanswered {
                    again: false,
                    refused: false,
                };
                Some(TookOver::Unknown)
            }
            Asked::No => Some(TookOver::No),
            Asked::Unanswered { again, refused } if *again => {
                // Unless it was not reached.
                *again = matches!(answer, Err(Failed::Io(_)));
                *refused |= matches!(answer, Err(Failed::Refused(_)));
                None
            }
            Asked::Unanswered { again, refused } => match answer {
                Ok(Answer::Later(text)) if !text.starts_with("NOMASTERLINK") => None,
                Ok(_) => {
                    *again = true;
                    refused.then_some(TookOver::No)
                }
                Err(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    fn io() -> Error {
        ErrorKind::ConnectionReset.into()
    }

    fn away() -> Result<Answer, Failed> {
        Err(Failed::Io(io()))
    }

    fn silence() -> Result<Answer, Failed> {
        Err(Failed::Unanswered(io()))
    }

    fn refusal() -> Result<Answer, Failed> {
        Err(Failed::Refused("ERR no".into()))
    }

    fn later(text: &str) -> Result<Answer, Failed> {
        Ok(Answer::Later(text.into()))
    }

    fn under(id: &str) -> Result<Answer, Failed> {
        Ok(Answer::Continue(Some(id.into())))
    }

    const OLD: &str = "0123456789abcdef0123456789abcdef01234567";
    const NEW: &str = "76543210fedcba9876543210fedcba9876543210";
    const REPLICA: &str = "NOMASTERLINK Can't SYNC while not connected with my master";

    /// What each answer is taken for, and whether the request before it asked the other to take over.
    fn play(answers: Vec<Result<Answer, Failed>>) -> Vec<(bool, Option<TookOver>)> {
        let mut handover = Handover::new(Box::new(|_| ()));
        let judged = answers.iter().map(|answer| {
            let asks = handover.asks();
            (asks, handover.judge(answer, OLD))
        });
        judged.collect()
    }

    #[test]
    fn the_first_request_settles_it_if_it_is_answered_or_not_made() {
        for (answer, outcome) in [
            (Ok(Answer::Continue(None)), TookOver::Yes),
            (under(NEW), TookOver::Yes),
            (refusal(), TookOver::No),
            (later("LOADING"), TookOver::No),
            (away(), TookOver::No),
            (silence(), TookOver::Unknown),
        ] {
            assert_eq!(play(vec![answer]), [(true, Some(outcome))]);
        }
    }

    #[test]
    fn nobody_is_the_primary_again_while_the_other_may_be() {
        let answers = vec![
            silence(),
            away(),
            silence(),
            later("LOADING"),
            refusal(),
            later(REPLICA),
            away(),
            silence(),
            later(REPLICA),
            later("LOADING"),
            under(OLD),
            silence(),
            under(NEW),
        ];
        let nothing = |asks| (asks, None);
        assert_eq!(
            play(answers),
            [
                (true, Some(TookOver::Unknown)),
                nothing(false),
                nothing(false),
                nothing(false),
                nothing(false),
                nothing(false),
                nothing(true),
                nothing(true),
                nothing(false),
                nothing(true),
                nothing(false),
                nothing(true),
                (false, Some(TookOver::Yes)),
            ]
        );
    }

    #[test]
    fn a_replica_that_refuses_stays_one() {
        let answers = vec![silence(), later(REPLICA), refusal(), later(REPLICA)];
        assert_eq!(
            play(answers)[1..],
            [(false, None), (true, None), (false, Some(TookOver::No))]
        );
    }
}
