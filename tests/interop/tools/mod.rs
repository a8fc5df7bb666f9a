//! What the tests beside other servers share: questions, comparisons, processes of peers, a validator.

pub(crate) mod ask;
pub(crate) mod compare;
pub(crate) mod peer;
pub(crate) mod validator;
