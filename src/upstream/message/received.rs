//! Whether a message that came is the reply to a question, and what of it is taken.

use wire::Reply;

use super::question::{Question, Verdict, restore_case};

/// What a received message is.
pub(crate) enum Taken {
    /// The reply.
    Yes,
    /// The reply, but it cannot be read, or does not keep the case of the name.
    Doubtful,
    /// Something else.
    No,
}

/// Loads `bytes` into `reply` if they are the reply; records that do not belong to the question are
/// left out, and `unrelated` gets their number.
pub(crate) fn take(
    question: &Question,
    bytes: &[u8],
    reply: &mut Reply,
    unrelated: impl FnOnce(usize),
) -> Taken {
    let loaded = match question.judge(bytes) {
        Verdict::Ours => match question.client_case() {
            Some(name) => {
                let mut restored = bytes.to_vec();
                restore_case(&mut restored, name);
                reply.load(&restored)
            }
            None => reply.load(bytes),
        },
        Verdict::Refusal(rcode) => {
            reply.clear();
            reply.set_rcode(rcode);
            reply.recursion_available = bytes.get(3).is_some_and(|flags| flags & 0x80 != 0);
            Ok(())
        }
        Verdict::OtherCase => return Taken::Doubtful,
        Verdict::Foreign => return Taken::No,
    };
    match loaded {
        Ok(()) => {
            let dropped = if question.ordinary { reply.keep_what_belongs() } else { 0 };
            if dropped > 0 {
                unrelated(dropped);
            }
            Taken::Yes
        }
        // Some servers cut a message off in the middle of a record, with TC or without.
        Err(_) => Taken::Doubtful,
    }
}
