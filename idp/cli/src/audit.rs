//! Audit rows for what operators do.

use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::ids::UserId;
use idp_core::time::Timestamp;

/// A row about the id `subject`. Write it in the transaction of the action.
pub(crate) fn row(event: AuditEvent, subject: impl ToString, at: Timestamp) -> AuditRecord {
    AuditRecord {
        at,
        event,
        actor: Actor::Cli,
        subject: Some(subject.to_string()),
        client_id: None,
        source: AuditSource::default(),
        detail: "",
    }
}

/// The built-in roles.
pub(crate) const BUILT_IN: [&str; 2] = ["admin", "user"];

/// A row about an account's role. Only built-in roles are named in the audit trail.
pub(crate) fn role(event: AuditEvent, user: UserId, role: &str, at: Timestamp) -> AuditRecord {
    let detail = BUILT_IN.into_iter().find(|built_in| *built_in == role).unwrap_or_default();
    AuditRecord { detail, ..row(event, user, at) }
}
