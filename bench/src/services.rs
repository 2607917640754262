//! Queue, limiter, cache and quotes, measured as a program uses them, with load and servers on the same cores.

use std::io::{Error, Result};

use crate::arguments::Plan;
use crate::effects::new_database;
use crate::{limits_and_cache, process, queue, quotes};

/// Measures all and prints their tables.
pub(crate) async fn report(plan: &Plan) -> Result<(String, Option<String>)> {
    let (Some(postgres), Some(redis)) = (&plan.postgres, &plan.redis) else {
        return Err(Error::other("--services needs --postgres and --redis"));
    };
    eprintln!("limiter and cache");
    let limits = limits_and_cache::run(redis).await?;
    eprintln!("queue");
    let queue = queue::run(&new_database(postgres)?, redis).await?;
    eprintln!("quotes");
    let quotes = quotes::run(&new_database(postgres)?).await?;
    let machine = process::machine()?;
    let out = format!(
        "{machine}\n\n`{}`\n\n{limits}\n{queue}\n{quotes}",
        plan.command.replace(postgres.as_str(), "…")
    );
    Ok((out, None))
}
