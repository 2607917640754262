//! `!regulars` and `!editors`: roles that a community gives to viewers.

use async_trait::async_trait;
use domain::{ChannelKey, Level};
use futures_util::FutureExt;
use storage::roles::Role;
use storage::{Change, ChangeKind, ChangeScope, Effect, persons, roles};

use crate::actors::listing::cut_to_fit;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

/// Logins that one list reads; what does not fit into a message is counted.
const LIST_MAX: u32 = 1_000;
const STEP: u16 = 1;

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "roles",
    description: "Gives viewers the levels regular and editor.",
    commands: &[
        CommandSpec {
            name: "regulars",
            also: &["regular"],
            usage: "regulars add|remove|list <user>",
            description: "Says who is a regular.",
            level: Level::Owner,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "editors",
            also: &["editor"],
            usage: "editors add|remove|list <user>",
            description: "Says who is an editor.",
            level: Level::Owner,
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Roles),
    ..ModuleSpec::DEFAULT
};

struct Roles;

#[async_trait]
impl Module for Roles {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let role = if &*call.name == "editors" { Level::Editor } else { Level::Regular };
        let mut words = call.args.split_whitespace();
        let verb = words.next().unwrap_or("list").to_ascii_lowercase();
        let user = words.next();
        match (verb.as_str(), user) {
            ("list" | "ls", None) => list(ctx, role).await,
            ("add" | "+", Some(user)) => grant(ctx, call, role, user).await,
            ("remove" | "delete" | "del" | "rm" | "-", Some(user)) => take_away(ctx, call, role, user).await,
            _ => Err(ModuleError::User(format!(
                "Type !{0} add <user>, !{0} remove <user> or !{0} list.",
                call.name
            ))),
        }
    }
}

async fn list(ctx: &Context, level: Level) -> Result<Vec<Reply>, ModuleError> {
    let rows = roles::list(ctx.db(), ctx.community_id(), level, "", LIST_MAX).await?;
    if rows.is_empty() {
        return Ok(Reply::only(format!("There are no {level}s yet; !{level}s add <user> makes one.")));
    }
    let logins: Vec<String> = rows.into_iter().map(|role| role.login).collect();
    Ok(Reply::only(format!("{}: {}", capitalized(level), cut_to_fit(&logins))))
}

async fn grant(
    ctx: &Context,
    call: &CommandCall,
    level: Level,
    user: &str,
) -> Result<Vec<Reply>, ModuleError> {
    let login = login_of(ctx, user)?;
    let (platform, community_id, now) = (ctx.platform(), ctx.community_id(), ctx.now());
    let granted_by = format!("{platform}:{}", call.event.user.login);
    let entry = audit::entry(ctx, &call.event, "role.grant", format!("{login} {level}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let seen = persons::by_login(&mut *tx, platform, &login).await?;
            let person_id = match &seen {
                Some(seen) => persons::by_identity(&mut *tx, platform, &seen.platform_user_id).await?,
                None => None,
            };
            let platform_user_id = seen.map(|seen| seen.platform_user_id);
            let text = format!("{login} is {} now.", with_article(level));
            let role = Role { platform, login, platform_user_id, person_id, level, granted_by };
            roles::set(tx, community_id, &role, now).await?;
            let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Roles);
            Ok(Effect::new(text).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

async fn take_away(
    ctx: &Context,
    call: &CommandCall,
    level: Level,
    user: &str,
) -> Result<Vec<Reply>, ModuleError> {
    let login = login_of(ctx, user)?;
    let (platform, community_id) = (ctx.platform(), ctx.community_id());
    let entry = audit::entry(ctx, &call.event, "role.remove", format!("{login} {level}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let role = with_article(level);
            if !roles::remove(tx, community_id, platform, &login, level).await? {
                return Ok(Effect::new(format!("{login} is not {role}.")));
            }
            let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Roles);
            Ok(Effect::new(format!("{login} is no longer {role}.")).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

/// A login as somebody types it: `@Ann` is `ann`.
fn login_of(ctx: &Context, user: &str) -> Result<String, ModuleError> {
    ChannelKey::new(ctx.platform(), user.trim_start_matches('@').trim_end_matches(','))
        .map(|key| key.name().to_owned())
        .map_err(|_| {
            let shown: String = user.chars().filter(|letter| !letter.is_control()).take(30).collect();
            ModuleError::User(format!("{shown} is not a user's name; use letters, digits and _."))
        })
}

const fn with_article(level: Level) -> &'static str {
    match level {
        Level::Editor => "an editor",
        _ => "a regular",
    }
}

const fn capitalized(level: Level) -> &'static str {
    match level {
        Level::Editor => "Editors",
        _ => "Regulars",
    }
}

#[cfg(test)]
mod tests {
    use storage::persons::Identity;

    use super::*;
    use crate::actors::modules::testing::World;

    async fn owner(world: &mut World, line: &str) -> String {
        world.say(Level::Owner, "Own", line).await.remove(0)
    }

    #[tokio::test]
    async fn a_role_is_given_listed_and_taken_away() {
        let mut world = World::new().await;
        assert_eq!(
            owner(&mut world, "!regulars list").await,
            "There are no regulars yet; !regulars add <user> makes one."
        );
        assert_eq!(owner(&mut world, "!regulars add @Ann").await, "ann is a regular now.");
        assert_eq!(owner(&mut world, "!editors add bob").await, "bob is an editor now.");
        assert_eq!(owner(&mut world, "!regulars").await, "Regulars: ann");
        assert_eq!(owner(&mut world, "!editor list").await, "Editors: bob");
        assert_eq!(owner(&mut world, "!editors remove ann").await, "ann is not an editor.");
        assert_eq!(owner(&mut world, "!regulars delete ANN").await, "ann is no longer a regular.");
        assert!(owner(&mut world, "!regulars").await.starts_with("There are no regulars yet"));
    }

    #[tokio::test]
    async fn a_role_is_bound_to_the_account_when_it_was_seen() {
        let mut world = World::new().await;
        let now = world.clock.now();
        let identity = Identity {
            platform: domain::Platform::Console,
            platform_user_id: "77".to_owned(),
            login: "ann".to_owned(),
            display_name: "Ann".to_owned(),
        };
        let mut tx = world.services.db.begin().await.unwrap();
        let person = persons::touch(&mut tx, &identity, now).await.unwrap();
        tx.commit().await.unwrap();
        owner(&mut world, "!regulars add ann").await;
        owner(&mut world, "!regulars add stranger").await;
        let rows = roles::of_community(&world.services.db, world.slot.community_id).await.unwrap();
        let bound: Vec<_> =
            rows.iter().map(|role| (role.platform_user_id.as_deref(), role.person_id)).collect();
        assert_eq!(bound, [(Some("77"), Some(person)), (None, None)]);
        assert_eq!(rows[0].granted_by, "console:own");
    }

    #[tokio::test]
    async fn what_is_no_user_is_refused() {
        let mut world = World::new().await;
        for (line, want) in [
            ("!regulars add", "Type !regulars add <user>, !regulars remove <user> or !regulars list."),
            ("!editors dance bob", "Type !editors add <user>"),
            ("!regulars add $(user)", "$(user) is not a user's name"),
            ("!regulars add @", "@ is not a user's name"),
        ] {
            let reply = owner(&mut world, line).await;
            assert!(reply.starts_with(want), "{line}: {reply}");
        }
    }
}
