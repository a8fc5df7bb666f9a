//! How one query passes through the upstreams of a group.
//!
//! The query goes to one upstream. If that fails or gives an unwanted answer, the next one follows, until
//! an answer is good, the attempts are used up or the time is over.

use std::mem;
use std::time::Duration;

use exchange::Query;
use tokio::time::Instant;
use wire::{Failure, Rcode, Reply};

use super::group::Group;
use super::order::Candidates;
use super::round::{RoundEnd, Run};
use super::trouble;
use crate::message::Question;

/// The pause between attempts once every upstream had two: an upstream that refuses at once is not
/// queried thousands of times.
const PAUSE: Duration = Duration::from_millis(100);

impl Group {
    /// Queries the upstreams until one answers; the reply is loaded into `reply`.
    ///
    /// # Errors
    /// No upstream answered, or too many queries are waiting.
    pub async fn ask(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        {
            let _permits = self.enter(query)?;
            self.ask_around(query, reply).await?;
        }
        self.own.settle(query, reply).await;
        Ok(())
    }

    async fn ask_around(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        let mut question = Question::new(query, self.config.case_randomization)
            .map_err(|_| Failure::rcode(Rcode::FORMERR))?;
        let members = self.roster.now();
        if members.is_empty() {
            return Err(self.roster.no_upstream());
        }
        let begun = Instant::now();
        let mut run = Run {
            candidates: Candidates::new(&members, &self.policy, self.config.max_fails),
            worker: query.client.worker,
            begun,
            end: begun + self.budget,
            width: self.config.policy.width(),
            failed: 0,
            unwanted: 0,
            has_fallback: false,
            trouble: None,
        };
        if let Some(tokens) = &self.tokens {
            tokens.earn();
        }
        let count = run.candidates.count();
        let taps = self.watchers.of(query);
        // An unwanted reply is better than none.
        let mut second_best = false;
        let mut is_first = true;
        while run.failed < self.max_attempts(run.candidates.left()) {
            if !mem::replace(&mut is_first, false) {
                run.begun = Instant::now();
                if run.begun >= run.end {
                    break;
                }
            }
            if run.failed as usize >= 2 * count {
                Box::pin(tokio::time::sleep(PAUSE)).await;
                run.begun = Instant::now();
            }
            let was_down = run.candidates.all_down;
            let found = run.candidates.next();
            if run.candidates.all_down && !was_down {
                self.broken.inc(run.worker);
                if self.config.failfast {
                    break;
                }
            }
            let Some(member) = found else { break };
            match self.round(member, &mut run, &mut question, reply, &taps).await {
                RoundEnd::Answered => return Ok(()),
                RoundEnd::Unwanted if run.unwanted >= count => return Ok(()),
                // Silent upstreams are not waited for when the others have answered in the negative.
                RoundEnd::Unwanted if self.wants_positive() && !run.candidates.any_healthy() => {
                    return Ok(());
                }
                RoundEnd::Unwanted => second_best = true,
                RoundEnd::Failed => {}
                RoundEnd::Overloaded => break,
            }
        }
        if second_best { Ok(()) } else { Err(trouble::failure(run.trouble)) }
    }
}
