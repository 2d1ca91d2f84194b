//! `tillstream`: see `tillstream --help`.

use std::process::ExitCode;

use clap::Parser;
use tillstream::Stop;
use tillstream::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version are answers, everything else is a mistake.
            let asked = !error.use_stderr();
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(64) };
        }
    };
    let (error, code) = match cli.run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => (error, 1),
        Err(Stop::Usage(error)) => (error, 64),
    };
    eprintln!("tillstream: {error:#}");
    ExitCode::from(code)
}
