//! Audit rows of what people do by chat.

use storage::AuditEntry;

use super::Context;
use crate::messages::ChatEvent;

/// A row that says who did `action` (`command.add`) to `target` (`!hi`), where, and in which request.
pub fn entry(ctx: &Context, event: &ChatEvent, action: &str, target: impl Into<String>) -> AuditEntry {
    AuditEntry {
        community_id: Some(ctx.community_id()),
        channel_id: Some(ctx.channel_id()),
        correlation_id: Some(event.correlation_id),
        ..AuditEntry::new(format!("{}:{}", event.platform, event.user.login), action, target)
    }
}
