//! Consent: what a person allowed a client.

use crate::scope::Scope;
use crate::time::Timestamp;

/// What a person allowed a client, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// What was allowed.
    pub scope: Scope,
    /// When the person last allowed it.
    pub granted_at: Timestamp,
}
