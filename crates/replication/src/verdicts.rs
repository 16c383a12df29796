//! Who waits for the verdict on a transaction that was begun here.
//!
//! *Invariant:* whoever waits is told once, however early the verdict is, or never if it has left before.

use std::collections::HashMap;

use causal::bind::TxnError;
use effect::Dot;
use parking_lot::Mutex;
use wal::Position;

/// How a transaction ended; if it was committed, the log up to here has it, and it is visible.
pub type Outcome = Result<Position, TxnError>;

/// Is told how a transaction ended. It must not block.
pub type TellOutcome = Box<dyn FnOnce(Outcome) + Send>;

/// How transactions that were begun here have ended, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// They were committed.
    pub committed: u64,
    /// Somebody else had changed a key.
    pub lost: u64,
    /// Others took this node for dead.
    pub aborted: u64,
    /// Nobody knew in time.
    pub undecided: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Verdicts(Mutex<State>);

#[derive(Default)]
struct State {
    /// None: whoever waited has left.
    waiting: HashMap<Dot, Option<TellOutcome>>,
    /// Those that nobody waits for yet: whoever logs a transaction says so a moment later.
    early: HashMap<Dot, Outcome>,
    outcomes: Outcomes,
}

impl Verdicts {
    /// Waits for the verdict on a transaction that has just been logged here.
    pub(crate) fn wait(&self, bind: Dot, tell: TellOutcome) {
        let mut state = self.0.lock();
        match state.early.remove(&bind) {
            None => drop(state.waiting.insert(bind, Some(tell))),
            Some(outcome) => {
                drop(state);
                tell(outcome);
            }
        }
    }

    /// Nobody waits any more.
    pub(crate) fn leave(&self, bind: Dot) {
        if let Some(tell) = self.0.lock().waiting.get_mut(&bind) {
            *tell = None;
        }
    }

    /// How many have ended, and how.
    pub(crate) fn outcomes(&self) -> Outcomes {
        self.0.lock().outcomes
    }

    /// A transaction has ended.
    pub(crate) fn tell(&self, bind: Dot, outcome: Outcome) {
        let mut state = self.0.lock();
        let outcomes = &mut state.outcomes;
        *match outcome {
            Ok(_) => &mut outcomes.committed,
            Err(TxnError::Lost) => &mut outcomes.lost,
            Err(TxnError::Aborted | TxnError::TryAgain(_)) => &mut outcomes.aborted,
            Err(TxnError::RegionPartitioned) => &mut outcomes.undecided,
        } += 1;
        match state.waiting.remove(&bind) {
            None => drop(state.early.insert(bind, outcome)),
            Some(None) => {}
            Some(Some(tell)) => {
                drop(state);
                tell(outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use effect::Origin;

    use super::*;

    fn dot(seq: u64) -> Dot {
        Dot { origin: Origin::new(1, 1), seq }
    }

    fn wait(verdicts: &Verdicts, seq: u64) -> Arc<Mutex<Vec<Outcome>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        verdicts.wait(dot(seq), Box::new(move |outcome| tell.lock().push(outcome)));
        told
    }

    #[test]
    fn whoever_waits_is_told_whether_the_verdict_comes_before_or_behind() {
        let verdicts = Verdicts::default();
        verdicts.tell(dot(1), Err(TxnError::Lost));
        let (early, late) = (wait(&verdicts, 1), wait(&verdicts, 2));
        assert!(late.lock().is_empty());
        verdicts.tell(dot(2), Ok(Position::START));
        assert_eq!((&early.lock()[..], &late.lock()[..]), (&[Err(TxnError::Lost)][..], &[Ok(Position::START)][..]));
    }

    #[test]
    fn nothing_is_kept_for_whoever_has_left() {
        let verdicts = Verdicts::default();
        let told = wait(&verdicts, 1);
        verdicts.leave(dot(1));
        verdicts.tell(dot(1), Err(TxnError::Aborted));
        verdicts.leave(dot(1));
        assert!(told.lock().is_empty());
        let state = verdicts.0.lock();
        assert_eq!((state.waiting.len(), state.early.len()), (0, 0));
        assert_eq!(state.outcomes, Outcomes { aborted: 1, ..Outcomes::default() });
    }
}
