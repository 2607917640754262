//! What the kernel says about a process, and where it may run.

use std::fs;
use std::io::{Error, Result};
use std::process::Command;

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads, ended ones too.
    pub(crate) cpu_secs: f64,
    pub(crate) rss_kib: u64,
}

/// Reads `/proc`.
///
/// # Errors
/// The process is gone.
pub(crate) fn usage(process_id: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat"))?;
    // The name in parentheses may hold blanks; fields are counted behind it, from the state (3).
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    let (Some(user), Some(system)) = (ticks(14), ticks(15)) else {
        return Err(Error::other(format!("/proc/{process_id}/stat is not understood")));
    };
    let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss_kib = rss.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    let rss_kib = rss_kib.ok_or_else(|| Error::other(format!("process {process_id} has ended")))?;
    Ok(Usage { cpu_secs: (user + system) as f64 / clock_ticks()?, rss_kib })
}

/// How many of the kernel's ticks make a second.
fn clock_ticks() -> Result<f64> {
    static TICKS: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
    if let Some(ticks) = TICKS.get() {
        return Ok(*ticks);
    }
    let output = Command::new("getconf").arg("CLK_TCK").output()?;
    let ticks = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().map_err(Error::other)?;
    Ok(*TICKS.get_or_init(|| ticks))
}

/// Binds this process to one core, before it has other threads.
pub(crate) fn pin_self(core: usize) -> Result<()> {
    let process_id = std::process::id().to_string();
    let output = Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &process_id]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::other(format!("taskset: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// One line on the machine: processor, cores, memory, kernel.
pub(crate) fn machine() -> Result<String> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let n_cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{}, {n_cores} cores, {memory} memory, Linux {}",
        field(&processors, "model name"),
        kernel.trim()
    ))
}

/// Forgets the highest RSS of a process so far.
pub(crate) fn forget_peak(process_id: u32) -> Result<()> {
    fs::write(format!("/proc/{process_id}/clear_refs"), "5")
}

/// Highest RSS since `forget_peak`.
pub(crate) fn rss_peak_kib(process_id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    peak.ok_or_else(|| Error::other(format!("process {process_id} has ended")))
}
