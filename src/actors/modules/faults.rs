//! A ledger, and modules that panic, sleep, fail, spin and hoard memory, each in a row of its own: the tests of supervision watch what becomes of
//! their neighbours.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use storage::{Effect, counters};

use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{CommandCall, Line, Reply};

/// How long `!spin` holds its thread: longer than the watchdog allows.
const SPIN: Duration = Duration::from_secs(10);
/// How long `!sleep60` sleeps.
const SLEEP: Duration = Duration::from_mins(1);
/// Failed attempts of `!retry` before one succeeds.
const RETRIES: u32 = 2;

/// A row of this file: one module with one command.
const fn row(
    name: &'static str,
    commands: &'static [CommandSpec],
    new: fn() -> Box<dyn Module>,
) -> ModuleSpec {
    ModuleSpec {
        name,
        description: "Misbehaves, for the tests of supervision.",
        commands,
        new,
        ..ModuleSpec::DEFAULT
    }
}

pub const PANIC: ModuleSpec = row(
    "fault_panic",
    &[CommandSpec { name: "panic", usage: "panic [ok]", description: "Panics.", ..CommandSpec::DEFAULT }],
    || Box::new(Panic),
);
pub const SLEEP60: ModuleSpec = row(
    "fault_sleep",
    &[CommandSpec {
        name: "sleep60",
        usage: "sleep60",
        description: "Sleeps for 60 s.",
        ..CommandSpec::DEFAULT
    }],
    || Box::new(Sleep),
);
pub const ERROR: ModuleSpec = row(
    "fault_error",
    &[CommandSpec { name: "error", usage: "error", description: "Fails.", ..CommandSpec::DEFAULT }],
    || Box::new(Error),
);
pub const RETRY: ModuleSpec = row(
    "fault_retry",
    &[CommandSpec {
        name: "retry",
        usage: "retry",
        description: "Succeeds at last.",
        ..CommandSpec::DEFAULT
    }],
    || Box::new(Retry { n_failed: 0 }),
);
pub const SPINNER: ModuleSpec = row(
    "fault_spin",
    &[CommandSpec { name: "spin", usage: "spin", description: "Holds its thread.", ..CommandSpec::DEFAULT }],
    || Box::new(Spin),
);
pub const OVERFLOW: ModuleSpec = row(
    "fault_overflow",
    &[CommandSpec {
        name: "overflow",
        usage: "overflow",
        description: "Overflows its stack.",
        ..CommandSpec::DEFAULT
    }],
    || Box::new(Overflow),
);
pub const FATAL: ModuleSpec = row(
    "fault_fatal",
    &[CommandSpec { name: "fatal", usage: "fatal", description: "Gives up.", ..CommandSpec::DEFAULT }],
    || Box::new(Fatal),
);
pub const HOARD: ModuleSpec = row(
    "fault_hoard",
    &[CommandSpec {
        name: "hoard",
        usage: "hoard <MiB>",
        description: "Takes memory and keeps it.",
        ..CommandSpec::DEFAULT
    }],
    || Box::new(Hoard { bytes: Vec::new() }),
);
pub const LINES: ModuleSpec = ModuleSpec {
    lines: true,
    ..row(
        "fault_lines",
        &[CommandSpec {
            name: "linecount",
            usage: "linecount",
            description: "Says how many lines it saw.",
            ..CommandSpec::DEFAULT
        }],
        || Box::new(Lines { n_lines: 0 }),
    )
};

pub const LEDGER: ModuleSpec = row(
    "fault_ledger",
    &[CommandSpec {
        name: "ledger",
        usage: "ledger <token>",
        description: "Enters a token into the channel's account.",
        ..CommandSpec::DEFAULT
    }],
    || Box::new(Ledger),
);

/// State that only the channel's owner may write: each entry is an operation, each account their sum.
struct Ledger;

#[async_trait]
impl Module for Ledger {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let (community_id, now, token) = (ctx.community_id(), ctx.now(), call.args.clone());
        let unit = ctx.answer(ctx.channel_scope(), 1, move |tx| {
            async move {
                let sum = counters::add(tx, community_id, "ledger", 1, now).await?;
                Ok(Effect::new(format!("ledger: {sum} {token}")))
            }
            .boxed()
        });
        unit.await
    }
}

struct Panic;

#[async_trait]
impl Module for Panic {
    /// Panics unless it is asked not to, so that a test can see the breaker close again.
    async fn on_command(&mut self, _ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        assert!(call.args == "ok", "this module panics on every message");
        Ok(vec![Reply::text("No panic.")])
    }
}

struct Sleep;

#[async_trait]
impl Module for Sleep {
    async fn on_command(&mut self, _ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if call.args != "ok" {
            tokio::time::sleep(SLEEP).await;
        }
        Ok(vec![Reply::text("Good morning.")])
    }
}

struct Error;

#[async_trait]
impl Module for Error {
    async fn on_command(&mut self, _ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if call.args == "ok" {
            return Ok(vec![Reply::text("No error.")]);
        }
        Err(ModuleError::Failed("This module always fails.".to_owned()))
    }
}

struct Retry {
    n_failed: u32,
}

#[async_trait]
impl Module for Retry {
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if self.n_failed < RETRIES {
            self.n_failed += 1;
            return Err(ModuleError::Retry("not yet".to_owned()));
        }
        self.n_failed = 0;
        Ok(vec![Reply::text("Done at the third attempt.")])
    }
}

struct Spin;

#[async_trait]
impl Module for Spin {
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let begun = Instant::now();
        while begun.elapsed() < SPIN {
            std::hint::spin_loop();
        }
        Ok(vec![Reply::text("Dizzy.")])
    }
}

struct Overflow;

#[async_trait]
impl Module for Overflow {
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        Ok(vec![Reply::text(format!("{} deep.", dig(u64::MAX)))])
    }
}

/// Deeper than any stack.
fn dig(left: u64) -> u64 {
    let held = std::hint::black_box([left; 64]);
    if left == 0 { 0 } else { dig(left - 1) + held[0] / left }
}

struct Fatal;

#[async_trait]
impl Module for Fatal {
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        Err(ModuleError::Fatal("the memory of this module is spoilt".to_owned()))
    }
}

struct Hoard {
    bytes: Vec<u8>,
}

#[async_trait]
impl Module for Hoard {
    /// Holds memory, all of it touched, until the module ends.
    async fn on_command(&mut self, _ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let mib: usize = call.args.parse().map_err(|_| ModuleError::User("How many MiB?".to_owned()))?;
        self.bytes = vec![1; mib << 20];
        Ok(vec![Reply::text(format!("I hold {} MiB.", self.bytes.len() >> 20))])
    }
}

struct Lines {
    n_lines: usize,
}

#[async_trait]
impl Module for Lines {
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        Ok(vec![Reply::text(format!("I saw {} lines.", self.n_lines))])
    }

    async fn on_lines(&mut self, _ctx: &Context, lines: &[Line]) -> Result<Vec<Reply>, ModuleError> {
        self.n_lines += lines.len();
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use domain::Level;

    use super::*;
    use crate::actors::modules::testing::World;

    async fn deliver(world: &mut World, line: &str) -> Result<Vec<Reply>, ModuleError> {
        world.deliver(Level::Everyone, "Ann", line, line).await
    }

    #[tokio::test]
    async fn each_fault_is_the_one_that_its_name_says() {
        let mut world = World::new().await;
        assert!(matches!(deliver(&mut world, "!error").await, Err(ModuleError::Failed(_))));
        assert!(matches!(deliver(&mut world, "!fatal").await, Err(ModuleError::Fatal(_))));
        assert!(matches!(deliver(&mut world, "!retry").await, Err(ModuleError::Retry(_))));
        assert!(matches!(deliver(&mut world, "!retry").await, Err(ModuleError::Retry(_))));
        assert_eq!(deliver(&mut world, "!retry").await.unwrap(), [Reply::text("Done at the third attempt.")]);
        assert_eq!(deliver(&mut world, "!panic ok").await.unwrap(), [Reply::text("No panic.")]);
        assert_eq!(deliver(&mut world, "!hoard 3").await.unwrap(), [Reply::text("I hold 3 MiB.")]);
        let panicked = std::panic::AssertUnwindSafe(deliver(&mut world, "!panic")).catch_unwind().await;
        assert!(panicked.is_err());
    }
}
