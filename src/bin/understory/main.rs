//! The command `understory`: imports vector files into a store, searches, measures and checks it.
//!
//! It uses the library's public API only. Every failure is one plain sentence on standard error.

mod arguments;
mod commands;
mod cpu;
mod failure;
mod input;
mod output;
mod progress;

use std::process::ExitCode;

use arguments::Command;
use failure::{Failure, Result};

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os().skip(1)).and_then(|command| run(&command)) {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Work(what)) => {
            eprintln!("understory: {what}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(what)) => {
            eprintln!("understory: {what} (see understory --help)");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Help => output::line(arguments::HELP),
        Command::Version => output::line(concat!("understory ", env!("CARGO_PKG_VERSION"))),
        Command::Import(import) => commands::import::run(import),
        Command::Search(search) => commands::search::run(search),
        Command::Count { store, filter, json } => commands::count::run(store, filter.as_ref(), *json),
        Command::Bench(bench) => commands::bench::run(bench),
        Command::Stats { store, json } => commands::stats::run(store, *json),
        Command::Verify { store } => commands::verify::run(store),
        Command::Export(export) => commands::export::run(export),
        Command::Salvage { store, target, json } => commands::salvage::run(store, target, *json),
        Command::Compact { store } => commands::compact::run(store),
    }
}
