//! A role that was granted to a login is bound to the account the first time that account is seen, so that whoever
//! takes the login later does not inherit it.

use std::sync::Arc;

use domain::CorrelationId;
use storage::persons::{self, Identity};
use storage::{Change, ChangeKind, ChangeScope, Effect, OpId, Scope};
use ulid::Ulid;

use super::state::State;
use crate::messages::{Chatter, CommandTable};

impl State {
    /// Binds the roles of the speaker's login to the account, in the background, once.
    pub fn bind_role(&self, user: &Chatter, table: &CommandTable) {
        let granted = !table.roles.is_empty() && table.roles.contains_key(&format!("login:{}", user.login));
        if !granted || user.platform_user_id.is_empty() {
            return;
        }
        let (services, community_id) = (Arc::clone(&self.services), self.slot.community_id);
        let identity = Identity {
            platform: self.slot.platform,
            platform_user_id: user.platform_user_id.clone(),
            login: user.login.clone(),
            display_name: user.display_name.clone(),
        };
        let work = async move {
            let (scope, now) = (Scope::Community(community_id), services.clock.now());
            let cause = CorrelationId(Ulid::new()).to_string();
            let Ok(op) = OpId::new(&scope, "bind_role", &cause, "roles", 1) else { return };
            let bound = storage::unit_of_work(&services.db, scope, &op, now, move |tx| {
                Box::pin(async move {
                    persons::touch(tx, &identity, now).await?;
                    let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Roles);
                    Ok(Effect::new(()).changed(change))
                })
            });
            match bound.await {
                Ok(done) => services.directory.announce(&done.changes),
                Err(error) => {
                    tracing::warn!(%error, "a role was not bound to its account, trying at the next command");
                }
            }
        };
        self.services.spawner.detach("bind_role", Box::pin(work));
    }
}
