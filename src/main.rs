//! The program: arguments, configuration, start, wait, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let config = match waddlebot::config::Config::load(None, env) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    let console = std::env::args().any(|arg| arg == "--console");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match runtime.block_on(waddlebot::run::run(config, console)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("waddlebot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
